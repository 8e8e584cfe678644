"""Import fsspec and the package of a protocol, and open file systems."""

from __future__ import annotations

import functools
import importlib
import importlib.util
from collections.abc import Mapping
from typing import Any

from imgwire_async.batch.sources.cloud_access import Access, AsyncAccess, HttpAccess, S3Access, ThreadAccess
from imgwire_async.batch.sources.cloud_page import with_one_origin
from imgwire_async.batch.sources.cloud_url import protocols_of, require_known
from imgwire_async.threads import ThreadPool
from imgwire_async.user_code import finish_on_cancel


def require_packages(protocols: list[str]) -> None:
    """Raise `ImportError` if fsspec or the package of a protocol is not installed.

    Raises `ValueError` for a protocol that fsspec does not know. The package itself is not imported, because
    that takes up to a second.
    """
    try:
        registry: Any = importlib.import_module("fsspec.registry")
    except ImportError as error:
        raise ImportError("cloud(...) needs fsspec: pip install 'imgwire-async[cloud]'") from error
    for protocol in protocols:
        require_known(protocol, {*registry.registry, *registry.known_implementations})
        known: dict[str, str] | None = registry.known_implementations.get(protocol)
        if protocol in registry.registry or known is None:
            continue
        package = known["class"].partition(".")[0]
        if importlib.util.find_spec(package) is None:
            raise missing_package(protocol, package, known.get("err", ""))


def missing_package(protocol: str, package: str, hint: str) -> ImportError:
    """Return the error for a protocol whose package is not installed."""
    command = f"pip install {package}" if package != "fsspec" else ""
    return ImportError(
        f"{protocol}:// needs a package that is not installed: {'. '.join(filter(None, (hint.rstrip('.'), command)))}"
    )


async def open_access(url: str, options: Mapping[str, object]) -> Access:
    """Open the file system of a URL, in a thread, because some of them send requests for that."""
    access = await finish_on_cancel(ThreadPool(1).submit(functools.partial(_open, url, options)))
    try:
        await access.connect()
    except BaseException:
        await access.aclose()
        raise
    return access


def _open(url: str, options: Mapping[str, object]) -> Access:
    fsspec: Any = importlib.import_module("fsspec")
    protocols = protocols_of(url)
    protocol = protocols[0]
    try:
        kind: Any = fsspec.get_filesystem_class(protocol)
    except ImportError as error:
        raise missing_package(protocol, "fsspec", str(error)) from error
    # An instance of its own, because this one is closed at the end, and those of fsspec are never removed.
    arguments: dict[str, Any] = {"skip_instance_cache": True}
    # The parts of a chained file system know nothing of the event loop.
    is_async = bool(getattr(kind, "async_impl", False)) and len(protocols) == 1
    if is_async:
        # Without this, a listing of a bucket would stay in memory.
        arguments |= {"asynchronous": True, "use_listings_cache": False}
    is_http = is_async and protocol in {"http", "https"}
    if is_http:
        options = with_one_origin(options, url)
    file_system, root = fsspec.core.url_to_fs(url, **{**arguments, **options})
    root = root.rstrip("/")
    if not is_async:
        return ThreadAccess(file_system, root, protocol)
    if protocol in {"s3", "s3a"} and hasattr(file_system, "_call_s3"):
        return S3Access(file_system, root, protocol)
    access = HttpAccess if is_http else AsyncAccess
    return access(file_system, root, protocol)
