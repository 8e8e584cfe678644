"""`python -m imgwire_async.emulator`: an Imgwire on this machine until Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import logging
import shlex
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

from imgwire_async.emulator.configuration import ExpiredStatus, Idempotency, NaiveDates, SecondPut
from imgwire_async.emulator.server import Emulator
from imgwire_async.emulator.validation import InvalidError, http_url

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until SIGINT or SIGTERM; the exit code: 0 after either, 1 when a port is taken, 2 for wrong arguments."""
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        emulator = _emulator(given)
        urls = dict(_url_and_bytes(each) for each in given.url)
    except (ValueError, ImportError) as error:  # a rate of 0, or --tls without what makes certificates
        parser.error(str(error.args[0]))
    logging.basicConfig(format="%(levelname)s: %(message)s")
    try:
        asyncio.run(_serve(emulator, urls, keep_bodies=not given.no_bodies))
    except OSError as error:
        sys.stderr.write(f"imgwire emulator: {error}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m imgwire_async.emulator",
        description="A strict, stateful local Imgwire. Ports of 0 are any free ones.",
    )
    add = parser.add_argument
    add("--port", type=_port, default=0, help="of the API")
    add("--storage-port", type=_port, default=0, help="of the storage host")
    add("--cdn-port", type=_port, default=0, help="of the CDN host")
    add(
        "--host", default="127.0.0.1", help="name or address to listen on; off loopback, others reach it, too"
    )
    add("--api-key", metavar="KEY", help="the server key; without it a new one")
    add("--client-key", metavar="KEY", help="the client key; without it a new one")
    add(
        "--url",
        action="append",
        default=[],
        metavar="URL=FILE",
        help="what upload by URL finds at that URL; may come more than once",
    )
    add("--tls", action="store_true", help="https, with a certificate of a CA made for this run")
    add(
        "--ready-after",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="from the last byte to READY, at least",
    )
    add("--ready-polls", type=int, default=1, metavar="N", help="retrieves that still see PROCESSING")
    add("--idempotency", choices=get_args(Idempotency), default="same", help="what a repeated key gets")
    add("--unsigned-content-type", action="store_true", help="upload URLs take any Content-Type")
    add("--url-lifetime", type=float, default=900.0, metavar="SECONDS", help="of upload and archive URLs")
    add("--null-sizes-while-pending", action="store_true", help="sizes are null instead of 0 before READY")
    add("--expired-status", type=int, choices=get_args(ExpiredStatus), default=403, help="of an expired URL")
    add("--second-put", choices=get_args(SecondPut), default="accepted", help="what a used upload URL does")
    add("--naive-dates", choices=get_args(NaiveDates), default="utc", help="what dates without a zone are")
    add("--rate-limit", type=int, metavar="N", help="API requests per second before a 429")
    add("--no-bodies", action="store_true", help="keep hash, length and both ends of uploads only")
    return parser


def _port(text: str) -> int:
    """The number of a port. An `ArgumentTypeError` for what is none, where asyncio would raise `OverflowError`."""
    port = int(text) if text.isdecimal() else -1
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"give a number from 0 (any free port) to 65535, not {text!r}")
    return port


def _emulator(given: argparse.Namespace) -> Emulator:
    return Emulator(
        port=given.port,
        storage_port=given.storage_port,
        cdn_port=given.cdn_port,
        host=given.host,
        api_key=given.api_key,
        client_key=given.client_key,
        tls=given.tls,
        ready_after=given.ready_after,
        ready_polls=given.ready_polls,
        idempotency=given.idempotency,
        signed_content_type=not given.unsigned_content_type,
        url_lifetime=given.url_lifetime,
        null_sizes_while_pending=given.null_sizes_while_pending,
        expired_status=given.expired_status,
        second_put=given.second_put,
        naive_dates=given.naive_dates,
        rate_limit=given.rate_limit,
    )


def _url_and_bytes(text: str) -> tuple[str, bytes]:
    """Split `URL=FILE` and read the file. Either may hold `=`: the last one that leaves the name of a file counts."""
    url, _, file = text.rpartition("=")
    at = len(text)
    while (at := text.rfind("=", 0, at)) > 0:
        if Path(text[at + 1 :]).is_file():
            url, file = text[:at], text[at + 1 :]
            break
    try:
        http_url(url, ())
    except InvalidError:
        raise ValueError(f"--url {text}: give URL=FILE with an http or https URL") from None
    try:
        return url, Path(file).read_bytes()
    except OSError as error:
        raise ValueError(f"--url {text}: {error.strerror}: {file!r}") from None


async def _serve(emulator: Emulator, urls: Mapping[str, bytes], *, keep_bodies: bool) -> None:
    over = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, over.set)
    async with emulator:
        emulator.keep_bodies = keep_bodies
        emulator.urls.update(urls)
        sys.stdout.write(_greeting(emulator))
        sys.stdout.flush()
        await over.wait()


def _greeting(emulator: Emulator) -> str:
    return (
        f"{_exports(emulator)}"
        f"client key  {emulator.client_key}\n"
        f"storage     {emulator.storage_url}\n"
        f"CDN         {emulator.cdn_url}\n"
        f"{_trust(emulator)}"
        "Stop with Ctrl-C.\n"
    )


def _exports(emulator: Emulator) -> str:
    """Return what another shell needs, and nothing more, for clients to find, enter and trust this emulator."""
    variables = {"IMGWIRE_API_BASE_URL": emulator.base_url, "IMGWIRE_API_KEY": emulator.api_key}
    if emulator.ca_path is not None:
        variables["SSL_CERT_FILE"] = str(emulator.ca_path)
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())


def _trust(emulator: Emulator) -> str:
    """Return other ways to trust the CA of this run; nothing without TLS."""
    if emulator.ca_path is None:
        return ""
    path = shlex.quote(str(emulator.ca_path))
    return (
        f"CA          {emulator.ca_path}\n"
        "SSL_CERT_FILE replaces the CAs of that shell's programs. To trust this one beside the others:\n"
        f"  AsyncImgwireClient(ssl={str(emulator.ca_path)!r}), curl --cacert {path}, NODE_EXTRA_CA_CERTS={path}\n"
    )


if __name__ == "__main__":
    sys.exit(main())
