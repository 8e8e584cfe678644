"""The command `python -m imgwire_async.emulator`, which runs an emulator until Ctrl-C."""

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

from imgwire_async.emulator.configuration import (
    DeletedKeys,
    ExpiredStatus,
    Idempotency,
    ListOrder,
    NaiveDates,
    SecondPut,
)
from imgwire_async.emulator.server import Emulator
from imgwire_async.emulator.validation import InvalidError
from imgwire_async.emulator.validators import http_url

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run an emulator until SIGINT or SIGTERM, and return the exit code.

    The exit code is 0 after one of these signals, and 1 if the emulator cannot listen, for example because a
    port is in use. Wrong arguments end the process with the exit code 2. `arguments` replaces the arguments
    of the command line.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        emulator = _create_emulator(options)
        urls = dict(_parse_url_option(option) for option in options.url)
    # A wrong value raises ValueError. --tls raises ImportError if the package trustme is not installed.
    except (ValueError, ImportError) as error:
        parser.error(str(error.args[0]))
    logging.basicConfig(format="%(levelname)s: %(message)s")
    try:
        asyncio.run(_serve(emulator, urls, keep_bodies=not options.no_bodies))
    except OSError as error:
        sys.stderr.write(f"imgwire emulator: {error}\n")
        return 1
    return 0


# long: one call per option
def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m imgwire_async.emulator",
        description="Run a strict, stateful Imgwire server on this machine. Port 0 takes any free port.",
    )
    add = parser.add_argument
    add("--port", type=_port, default=0, help="port of the API")
    add("--storage-port", type=_port, default=0, help="port of the storage host")
    add("--cdn-port", type=_port, default=0, help="port of the CDN host")
    add(
        "--host",
        default="127.0.0.1",
        help="host name or IP address to listen on; other machines can connect unless it is a loopback address",
    )
    add("--api-key", metavar="KEY", help="server key (default: a new key)")
    add("--client-key", metavar="KEY", help="client key (default: a new key)")
    add(
        "--url",
        action="append",
        default=[],
        metavar="URL=FILE",
        help="picture that upload by URL fetches from URL; can be repeated",
    )
    add("--tls", action="store_true", help="serve https, with a certificate from a new CA")
    add(
        "--ready-after",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="minimum seconds from the upload to READY",
    )
    add("--ready-polls", type=int, default=1, metavar="N", help="number of retrieves that return PROCESSING")
    add(
        "--fetch-after",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="seconds that an upload by URL stays PENDING",
    )
    add(
        "--idempotency",
        choices=get_args(Idempotency),
        default="same",
        help="response to a repeated idempotency key",
    )
    add(
        "--deleted-keys",
        choices=get_args(DeletedKeys),
        default="forgotten",
        help="what happens to the idempotency key of a deleted image",
    )
    add("--list-order", choices=get_args(ListOrder), default="created", help="order of lists of images")
    add("--unsigned-content-type", action="store_true", help="accept any Content-Type at upload URLs")
    add(
        "--url-lifetime",
        type=float,
        default=900.0,
        metavar="SECONDS",
        help="lifetime of upload and archive URLs",
    )
    add(
        "--null-sizes-while-pending",
        action="store_true",
        help="return null instead of 0 for sizes before READY",
    )
    add(
        "--expired-status",
        type=int,
        choices=get_args(ExpiredStatus),
        default=403,
        help="response status of an expired URL",
    )
    add(
        "--second-put",
        choices=get_args(SecondPut),
        default="accepted",
        help="response to a second PUT to an upload URL",
    )
    add(
        "--naive-dates",
        choices=get_args(NaiveDates),
        default="utc",
        help="how to read a date without a time zone",
    )
    add("--rate-limit", type=int, metavar="N", help="maximum number of API requests per second")
    add(
        "--no-bodies", action="store_true", help="do not keep whole uploads, only hash, length, start and end"
    )
    return parser


def _port(argument: str) -> int:
    """Parse a port number. Raises `ArgumentTypeError` if `argument` is not a number from 0 to 65535."""
    port = int(argument) if argument.isdecimal() else -1
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(
            f"must be a number from 0 (any free port) to 65535, not {argument!r}"
        )
    return port


def _create_emulator(options: argparse.Namespace) -> Emulator:
    return Emulator(
        port=options.port,
        storage_port=options.storage_port,
        cdn_port=options.cdn_port,
        host=options.host,
        api_key=options.api_key,
        client_key=options.client_key,
        tls=options.tls,
        ready_after=options.ready_after,
        ready_polls=options.ready_polls,
        fetch_after=options.fetch_after,
        idempotency=options.idempotency,
        deleted_keys=options.deleted_keys,
        list_order=options.list_order,
        signed_content_type=not options.unsigned_content_type,
        url_lifetime=options.url_lifetime,
        null_sizes_while_pending=options.null_sizes_while_pending,
        expired_status=options.expired_status,
        second_put=options.second_put,
        naive_dates=options.naive_dates,
        rate_limit=options.rate_limit,
    )


def _parse_url_option(option: str) -> tuple[str, bytes]:
    """Parse `URL=FILE`, and return the URL and the content of the file.

    The URL and the file name may both contain `=`. The function tries each `=` as the separator, from the
    last `=` to the first, until the part after the separator is the name of an existing file.

    Raises `ValueError` if the URL is not an http or https URL, or if the file cannot be read.
    """
    # Split at the last `=` first. If the loop below finds no existing file, this split stays, and the error
    # message names the file after the last `=`.
    url, _, file = option.rpartition("=")
    separator = len(option)
    while (separator := option.rfind("=", 0, separator)) > 0:
        if Path(option[separator + 1 :]).is_file():
            url, file = option[:separator], option[separator + 1 :]
            break
    try:
        http_url(url, ())
    except InvalidError:
        raise ValueError(f"--url {option}: must be URL=FILE with an http or https URL") from None
    try:
        return url, Path(file).read_bytes()
    except OSError as error:
        raise ValueError(f"--url {option}: {error.strerror}: {file!r}") from None


async def _serve(emulator: Emulator, urls: Mapping[str, bytes], *, keep_bodies: bool) -> None:
    stopped = asyncio.Event()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signal_number, stopped.set)
    async with emulator:
        emulator.keep_bodies = keep_bodies
        emulator.urls.update(urls)
        sys.stdout.write(_startup_message(emulator))
        sys.stdout.flush()
        await stopped.wait()


def _startup_message(emulator: Emulator) -> str:
    return (
        f"{_export_lines(emulator)}"
        f"client key  {emulator.client_key}\n"
        f"storage     {emulator.storage_url}\n"
        f"CDN         {emulator.cdn_url}\n"
        f"{_trust_lines(emulator)}"
        "Press Ctrl-C to stop.\n"
    )


def _export_lines(emulator: Emulator) -> str:
    """Return shell commands that set the environment variables for clients of this emulator."""
    variables = {"IMGWIRE_API_BASE_URL": emulator.base_url, "IMGWIRE_API_KEY": emulator.api_key}
    if emulator.ca_path is not None:
        variables["SSL_CERT_FILE"] = str(emulator.ca_path)
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())


def _trust_lines(emulator: Emulator) -> str:
    """Return the lines that explain how clients trust the emulator's CA, or an empty string without TLS."""
    if emulator.ca_path is None:
        return ""
    path = shlex.quote(str(emulator.ca_path))
    return (
        f"CA          {emulator.ca_path}\n"
        "SSL_CERT_FILE replaces all other CAs. To trust this CA in addition to the others:\n"
        f"  AsyncImgwireClient(ssl={str(emulator.ca_path)!r}), curl --cacert {path}, NODE_EXTRA_CA_CERTS={path}\n"
    )


if __name__ == "__main__":
    sys.exit(main())
