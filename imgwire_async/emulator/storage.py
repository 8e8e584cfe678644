"""Handle the requests to the storage host: the PUT of an upload, and the GET of an archive.

The URLs are presigned, so a request needs no API key.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from imgwire_async.emulator.bodies import MAXIMUM_WHOLE_BODY, BodyRecorder
from imgwire_async.emulator.cors import ANY_ORIGIN, CorsRule
from imgwire_async.emulator.http import Body, HTTPError, Request, Response, xml_error
from imgwire_async.emulator.records import Image, PresignedUrl
from imgwire_async.emulator.signing import SignedTarget, parse_target, signature
from imgwire_async.emulator.state import State

__all__ = ["StorageHandler"]

_ANY_ORIGIN_RULE = CorsRule(("GET", "PUT"), ANY_ORIGIN)


class StorageHandler:
    """The handler of the storage host."""

    def __init__(self, state: State) -> None:
        self._state = state

    def cors_rule(self, request: Request) -> CorsRule:
        """Return a CORS rule that allows any origin, because the signature protects the URL.

        [contract 15]
        """
        return _ANY_ORIGIN_RULE

    async def __call__(self, request: Request, body: Body, send_continue: Callable[[], None]) -> Response:
        if request.raw_path.startswith("/uploads/"):
            return await self._put(request, body, send_continue)
        if request.raw_path.startswith("/archives/"):
            return self._get(request)
        raise _no_such_key()

    def _get(self, request: Request) -> Response:
        state, now = self._state, self._state.clock.now()
        _check_method(request, "GET")
        signed = check_signed(request, state.credentials.signing)
        url = state.store.archive_urls.get(signed.signature)
        job = None if url is None else state.store.jobs.get(url.target_id)
        if url is None or job is None or job.archive is None:
            raise _no_such_key()
        if now >= url.expires_at:
            raise expired_error(state.switches.expired_status, url.expires_at, now)
        return Response(status=200, body=job.archive, headers=(("Content-Type", "application/zip"),))

    async def _put(self, request: Request, body: Body, send_continue: Callable[[], None]) -> Response:
        state = self._state
        _check_method(request, "PUT")
        _check_length(request)
        signed = check_signed(request, state.credentials.signing)
        self._image_for_upload(signed, state.clock.now())
        send_continue()
        recorder = BodyRecorder(MAXIMUM_WHOLE_BODY if state.settings.keep_bodies else 0)
        async for chunk in body.chunks():
            recorder.add(chunk)
        # Check the image again, because it may have been deleted, or another PUT may have used the URL, while
        # the body arrived. The expiry is not checked again, because it counts only at the start of the PUT.
        image = self._image_for_upload(signed, None)
        state.store.mark_url_used(signed.signature)
        state.store.store_bytes(image, recorder.finish(body.sha256), state.clock.now())
        return Response(status=200, headers=(("ETag", f'"{body.sha256[:32]}"'),))

    def _image_for_upload(self, signed: SignedTarget, now: datetime | None) -> Image:
        """Return the image of an upload URL.

        Raises an S3 error if the URL is unknown, if it has expired at the time `now`, or if it was used and
        the switch `second_put` is `"refused"`. If `now` is None, the expiry is not checked.
        """
        state = self._state
        url: PresignedUrl | None = state.store.upload_urls.get(signed.signature)
        image = None if url is None else state.store.images.get(url.target_id)
        if url is None or image is None:
            raise _no_such_key()
        if now is not None and now >= url.expires_at:
            raise expired_error(state.switches.expired_status, url.expires_at, now)
        used = url.used or image.status != "PENDING"
        if used and state.switches.second_put == "refused":
            raise _error(403, "AccessDenied", "This URL has already been used.")
        return image


def check_signed(request: Request, secret: bytes) -> SignedTarget:
    """Check the signature of a request, and return the parts of its presigned target.

    Raises an S3 error if the target is not presigned, if the signature does not match the method, the target
    and the values of the signed headers, or if the request has an `Authorization`, `Cookie` or `x-amz-`
    header.
    """
    _check_unsigned_headers(request)
    signed = parse_target(request.target)
    if signed is None:
        raise _error(403, "AccessDenied", "Access Denied")
    headers = {name: ",".join(request.header_values(name)) for name in signed.header_names}
    expected = signature(secret, request.method, signed.unsigned_target, signed.header_names, headers)
    if expected != signed.signature:
        message = "The request signature we calculated does not match the signature you provided."
        raise _error(403, "SignatureDoesNotMatch", message)
    return signed


def expired_error(status: int, expires_at: datetime, now: datetime) -> HTTPError:
    """Return the S3 error for an expired URL."""
    time_format = "%Y-%m-%dT%H:%M:%SZ"
    return _error(
        status,
        "AccessDenied",
        "Request has expired",
        Expires=expires_at.strftime(time_format),
        ServerTime=now.strftime(time_format),
    )


def _check_method(request: Request, allowed: str) -> None:
    if request.method != allowed:
        response = xml_error(
            405, "MethodNotAllowed", "The specified method is not allowed against this resource."
        )
        raise HTTPError(response.with_headers([("Allow", allowed)]))


def _check_length(request: Request) -> None:
    if request.header_values("transfer-encoding") or not request.header_values("content-length"):
        raise _error(411, "MissingContentLength", "You must provide the Content-Length HTTP header.")


def _check_unsigned_headers(request: Request) -> None:
    if request.header_values("authorization"):
        raise _error(
            400, "InvalidArgument", "Only one auth mechanism allowed; the query already has a signature."
        )
    for name, _ in request.headers:
        if name.lower() == "cookie" or name.lower().startswith("x-amz-"):
            raise _error(
                403,
                "AccessDenied",
                f"There were headers present in the request which were not signed: {name}",
            )


def _no_such_key() -> HTTPError:
    return _error(404, "NoSuchKey", "The specified key does not exist.")


def _error(status: int, code: str, message: str, **fields: str) -> HTTPError:
    return HTTPError(xml_error(status, code, message, **fields))
