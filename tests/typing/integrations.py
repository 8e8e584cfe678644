"""Type checks of the integrations. `nox -s typing` checks this file."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import assert_type

from django.db import models
from fastapi import FastAPI

from imgwire_async import AsyncImgwireClient, Image, ImgwireClient, ImgwireError
from imgwire_async.integrations.django import ImgwireStorage
from imgwire_async.integrations.fastapi import ClientDep, add_error_handlers, get_client, lifespan
from imgwire_async.integrations.http import ErrorResponse, response_for


def check_response(error: ImgwireError) -> None:
    answer = response_for(error, retry_after=10)
    assert_type(answer, ErrorResponse)
    status, headers, body = answer
    assert_type(status, int)
    assert_type(headers, dict[str, str])
    assert_type(body, bytes)


def fastapi(client: AsyncImgwireClient) -> None:
    assert_type(lifespan(), Callable[[FastAPI], AbstractAsyncContextManager[None]])
    app = FastAPI(lifespan=lifespan(lambda: AsyncImgwireClient("key")))
    add_error_handlers(app)
    app.dependency_overrides[get_client] = lambda: client

    @app.get("/pictures/{image_id}")
    async def show(image_id: str, client: ClientDep) -> str:  # pyright: ignore[reportUnusedFunction]  # FastAPI calls it
        assert_type(client, AsyncImgwireClient)
        return (await client.images.retrieve(image_id)).url()


class Picture(models.Model):
    file = models.ImageField(storage=ImgwireStorage(url_rules={"preset": "small"}, wait=True), max_length=200)


def django(storage: ImgwireStorage) -> None:
    assert_type(storage.url("id/hero.jpg"), str)
    assert_type(storage.url("id/hero.jpg", width=300, format="webp"), str)
    assert_type(storage.image("id/hero.jpg"), Image)
    assert_type(storage.client, ImgwireClient)
    assert_type(storage.size("id/hero.jpg"), int)
