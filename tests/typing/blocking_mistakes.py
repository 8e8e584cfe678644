# pyright: reportUnnecessaryTypeIgnoreComment=error
"""Mistakes with the blocking client that both type checkers must report. `nox -s typing` checks this file.

Both checkers report an unused ignore as an error, so each ignore shows that they report the mistake.
"""

from __future__ import annotations

from imgwire_async import ImgwireClient


def mistakes(client: ImgwireClient) -> None:
    client.images.retrieve()  # type: ignore[call-arg]
    client.images.retrieve(5)  # type: ignore[arg-type]
    client.images.retrieve("x", timeout=5)  # type: ignore[call-arg]
    client.images.upload(b"", wait="yes")  # type: ignore[arg-type]
    client.images.list(2)  # type: ignore[call-arg]
    client.images.no_such_method()  # type: ignore[attr-defined]
    client.images.retrieve("x").no_such_field  # type: ignore[attr-defined]  # noqa: B018
    client.with_options(time_out=5)  # type: ignore[call-arg]
    for page in client.images.list():  # type: ignore[attr-defined]
        del page
    with client.images.stream("x", no_such_rule=1) as chunks:  # type: ignore[call-arg]
        chunks.no_such_method()  # type: ignore[attr-defined]


async def awaited(client: ImgwireClient) -> None:
    await client.images.retrieve("x")  # type: ignore[misc]
