"""Messages, reprs and log lines contain only a short part of a long argument."""

from __future__ import annotations

import logging
import math
from typing import Any

import pytest
from samples import image

from imgwire_async import (
    Hooks,
    Image,
    ImageQuarantinedError,
    TransformationError,
    UploadError,
    UploadItem,
    UploadResult,
    checks,
    from_dict,
)
from imgwire_async.exchange import Exchange
from imgwire_async.formatting import MAX_SHOWN, path_for_message, quoted, short_repr
from imgwire_async.resources import arguments
from imgwire_async.resources.waiting import is_ready
from imgwire_async.transport.instrumentation import Instrumentation
from imgwire_async.urls import srcset
from imgwire_async.urls.scalars import integer

PNG = bytes.fromhex("89504e470d0a1a0a0000000d4948445200000001000000010806000000")
LONG = "k\n€" * 50_000
CDN = "https://cdn.example/o/e/i"


def test_quoted_texts_and_reprs_are_short() -> None:
    for text in (LONG, "a" * 79, "€" * 30, "'\"" * 40, "short"):
        assert len(quoted(text)) <= MAX_SHOWN
        assert len(short_repr(text)) <= MAX_SHOWN
        assert len(short_repr(text.encode())) <= MAX_SHOWN
    assert quoted("short") == "'short'"
    assert len(short_repr([LONG])) <= MAX_SHOWN


def test_a_path_is_shown_in_full_unless_it_cannot_exist() -> None:
    path = "/".join(["/srv", *(["pictures of a long day"] * 8), "hero.png"])
    assert path_for_message(path) == path
    assert len(path_for_message("/" + "x" * 300)) <= MAX_SHOWN
    assert len(path_for_message("a/" * 300)) <= MAX_SHOWN


def test_reprs_of_uploads_do_not_show_whole_files() -> None:
    item = UploadItem(PNG * 1000, file_name=LONG, custom_metadata={"a": LONG})
    assert len(repr(item)) < 500
    assert len(repr(UploadResult(index=0, file=PNG * 1000))) < 300
    assert len(str(UploadError("a.png: no", file_name=LONG).file_name)) <= MAX_SHOWN
    assert UploadError("a.png: no", file_name="a" * 200 + ".png").file_name == "a" * 200 + ".png"


@pytest.mark.parametrize(
    "call",
    [
        lambda: arguments.interval(LONG),
        lambda: arguments.metadata({LONG: object()}),
        lambda: arguments.metadata({LONG: math.nan}),
        lambda: arguments.metadata({LONG: "\ud800"}),
        lambda: arguments.ids("image_ids", [LONG], spelling="bulk_delete([id])"),
        lambda: arguments.http_url("url", LONG),
        lambda: checks.nonempty_text("purpose", LONG),
        lambda: checks.printable_ascii("tz", LONG),
        lambda: integer(1, 9).text(LONG),
    ],
)
def test_the_error_for_a_long_argument_is_short(call: Any) -> None:
    # The classes of the errors differ. Only the length of the message matters here.
    with pytest.raises(Exception) as caught:
        call()
    assert len(str(caught.value)) < 400


def test_log_and_errors_shorten_a_long_name_in_a_path(caplog: pytest.LogCaptureFixture) -> None:
    path = f"storage.example/uploads/{'x' * 5_000}"
    assert len(str(Exchange("storage", "PUT", path))) < 250
    with caplog.at_level(logging.DEBUG, "imgwire_async"):
        events = Instrumentation(Hooks()).for_call("storage", "PUT", path)
        assert events is not None
        events.report_no_response(1, "no answer", 0.1)
    assert len(caplog.text) < 400


def test_a_message_lists_only_some_of_many_wrong_values() -> None:
    with pytest.raises(TransformationError) as caught:
        srcset(CDN, 0, 0, widths=["x"] * 10_000)  # type: ignore[list-item]  # wrong on purpose
    assert len(caught.value.faults) == 10_000
    assert "and 9950 more" in str(caught.value)
    assert len(str(caught.value)) < 10_000


@pytest.mark.parametrize("value", ["320,640", b"320", 320])
def test_a_text_or_a_number_is_rejected_as_a_list_of_widths(value: Any) -> None:
    for name in ("widths", "densities"):
        with pytest.raises(TypeError, match=f"{name} must be several numbers"):
            srcset(CDN, 0, 0, **{name: value})


def test_the_error_for_a_quarantined_image_shortens_a_long_name() -> None:
    record = from_dict(Image, image(status="QUARANTINE", original_filename="x" * 5_000))
    with pytest.raises(ImageQuarantinedError) as caught:
        is_ready(record, metadata=False)
    assert "x" * 81 not in str(caught.value)
