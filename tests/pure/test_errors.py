"""The error tree: its shape, what each error carries, and that all of it travels between processes without a secret."""

from __future__ import annotations

import copy
import inspect
import pickle
import pydoc
from typing import Any

import pytest
from samples import EXCHANGE, SECRET, data, image, reply

import imgwire_async
from imgwire_async import errors, messages, models, results
from imgwire_async.errors import Fault, ImgwireError
from imgwire_async.exchange import Exchange, Headers
from imgwire_async.protocol.codec import decode

IMAGE = decode(reply(image()), models.Image)
JOB = decode(reply(data(models.ImageDownloadJob)), models.ImageDownloadJob)
ISSUE = models.ValidationError(loc=("body", 0), msg="no", type="x")

# Every class with all it can hold.
KEYWORDS: dict[type[ImgwireError], dict[str, Any]] = {
    errors.APITimeoutError: {"which": "attempt"},
    errors.DecodeError: {"path": "$[3].id", "body": "{}"},
    errors.DownloadError: {"status": 404},
    errors.ArchiveError: {"status": None},
    errors.BulkDeleteError: {"result": results.BulkDeleteResult(unknown=("a",))},
    errors.UploadRejectedError: {"status": 403, "file_name": "a.jpg"},
    errors.DownloadJobFailedError: {"record": JOB},
}


def keywords(cls: type[ImgwireError]) -> dict[str, Any]:
    given = dict(KEYWORDS.get(cls, {}))
    if issubclass(cls, errors.APIStatusError):
        given = {
            "status": 404,
            "message": "no",
            "error_type": "X",
            "headers": Headers([("A", "b")]),
            "body": "no",
        }
    elif issubclass(cls, errors.UploadError):
        given.setdefault("file_name", "a.jpg")
    takes = inspect.signature(cls).parameters
    whole = {"exchange": EXCHANGE, "image": IMAGE} | given
    return {name: value for name, value in whole.items() if name in takes}


def filled(cls: type[ImgwireError]) -> ImgwireError:
    error = (
        errors.TransformationError([Fault("widht", 5, "is unknown", "width")])
        if cls is errors.TransformationError
        else cls("what happened", **keywords(cls))
    )
    if isinstance(error, errors.UnprocessableEntityError):
        error.errors = (ISSUE,)
    if isinstance(error, errors.RateLimitError):
        error.retry_after = 1.5
    error.image = IMAGE
    error.add_note("a note of the caller's")
    return error


CLASSES = [
    cls
    for name in imgwire_async.__all__
    if inspect.isclass(cls := getattr(imgwire_async, name)) and issubclass(cls, ImgwireError)
]
classes = pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)


def same(one: ImgwireError, other: ImgwireError) -> bool:
    return (
        type(one) is type(other)
        and one.args == other.args
        and str(one) == str(other)
        and {name: value for name, value in vars(one).items() if name != "result"}
        == {name: value for name, value in vars(other).items() if name != "result"}
    )


@classes
def test_every_error_survives_pickle_copy_and_deepcopy(cls: type[ImgwireError]) -> None:
    error = filled(cls)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert same(pickle.loads(pickle.dumps(error, protocol)), error)
    assert same(copy.copy(error), error)
    assert same(copy.deepcopy(error), error)
    assert pickle.loads(pickle.dumps(error)).__notes__ == error.__notes__


@classes
def test_every_error_can_be_raised_and_chained_after_its_journey(cls: type[ImgwireError]) -> None:
    with pytest.raises(cls) as caught:
        raise pickle.loads(pickle.dumps(filled(cls))) from OSError("the first one")
    assert isinstance(caught.value.__cause__, OSError)
    assert isinstance(pickle.loads(pickle.dumps(caught.value)), cls)


@classes
def test_every_error_has_an_exchange_and_an_image_even_when_it_has_none(cls: type[ImgwireError]) -> None:
    needed = {"status": 500} if issubclass(cls, errors.APIStatusError) else KEYWORDS.get(cls, {})
    error = errors.TransformationError([]) if cls is errors.TransformationError else cls("x", **needed)
    assert error.exchange is None
    assert error.image is None


def test_the_results_of_a_failed_bulk_deletion_travel_with_their_errors() -> None:
    inner = errors.NotFoundError("gone", status=404)
    result = results.BulkDeleteResult(deleted=("a",), failed=(("b", inner),), unknown=("c",))
    with pytest.raises(errors.BulkDeleteError, match="gone") as caught:
        result.raise_if_failed()
    back = pickle.loads(pickle.dumps(caught.value))
    assert back.result.failed[0][0] == "b"
    assert same(back.result.failed[0][1], inner)
    assert (back.result.deleted, back.result.unknown) == (("a",), ("c",))


TREE = {
    "ConfigurationError": (ImgwireError, ValueError),
    "APIConnectionError": (ImgwireError,),
    "APITimeoutError": (errors.APIConnectionError, TimeoutError),
    "APIStatusError": (ImgwireError,),
    "BadRequestError": (errors.APIStatusError,),
    "AuthenticationError": (errors.APIStatusError,),
    "PaymentRequiredError": (errors.APIStatusError,),
    "PermissionDeniedError": (errors.APIStatusError,),
    "NotFoundError": (errors.APIStatusError,),
    "ConflictError": (errors.APIStatusError,),
    "PayloadTooLargeError": (errors.APIStatusError,),
    "UnprocessableEntityError": (errors.APIStatusError,),
    "RateLimitError": (errors.APIStatusError,),
    "ServerError": (errors.APIStatusError,),
    "DecodeError": (ImgwireError,),
    "UnsafeURLError": (ImgwireError,),
    "PaginationError": (ImgwireError,),
    "UploadError": (ImgwireError,),
    "UnsupportedImageError": (errors.UploadError, ValueError),
    "UploadSizeError": (errors.UploadError,),
    "SourceChangedError": (errors.UploadError,),
    "UploadNotReplayableError": (errors.UploadError,),
    "UploadConnectionError": (errors.UploadError,),
    "UploadStalledError": (errors.UploadError, TimeoutError),
    "UploadUrlExpiredError": (errors.UploadError,),
    "UploadRejectedError": (errors.UploadError,),
    "WaitTimeoutError": (ImgwireError, TimeoutError),
    "ImageQuarantinedError": (ImgwireError,),
    "DownloadJobFailedError": (ImgwireError,),
    "CustomDomainFailedError": (ImgwireError,),
    "TransformationError": (ImgwireError, ValueError),
    "DownloadError": (ImgwireError,),
    "ArchiveError": (errors.DownloadError,),
    "BulkDeleteError": (ImgwireError,),
}


@pytest.mark.parametrize(("name", "parents"), TREE.items())
def test_an_error_is_caught_by_its_parents(name: str, parents: tuple[type, ...]) -> None:
    assert all(issubclass(getattr(errors, name), parent) for parent in parents)


def test_a_timeout_of_ours_is_no_operating_system_error_number() -> None:
    error = errors.APITimeoutError("too long", which="deadline")
    assert str(error) == "too long"
    assert error.errno is None


def test_help_draws_the_whole_tree() -> None:
    drawn = pydoc.render_doc(errors).partition("CLASSES")[0]
    assert [cls.__name__ for cls in CLASSES if cls.__name__ not in drawn] == []


def test_an_image_of_a_wait_is_its_record() -> None:
    error = errors.WaitTimeoutError("late", image=IMAGE)
    assert error.record is error.image is IMAGE


def test_a_status_error_reads_its_request_id_from_its_headers() -> None:
    error = errors.NotFoundError("x", status=404, headers=Headers([("X-Request-ID", "r1")]))
    assert error.request_id == "r1"
    assert errors.NotFoundError("x", status=404).request_id is None
    assert dict(errors.NotFoundError("x", status=404).headers) == {}


def test_a_fault_shows_rule_reason_and_suggestion_on_one_line() -> None:
    assert str(Fault("widht", 5, "is unknown", "width")) == "widht: is unknown (did you mean 'width'?)"
    assert str(Fault("width", 5, "is too small")) == "width: is too small"
    assert str(Fault("a\nb", 5, "is unknown")) == "'a\\nb': is unknown"
    assert len(str(Fault("x" * 5000, 5, "is unknown"))) < 100


def test_no_secret_stands_in_the_pickle_of_an_error() -> None:
    told = Headers(
        [("Set-Cookie", SECRET), ("Location", f"https://s.example/x?X-Amz-Signature={SECRET}"), ("A", "b")]
    )
    exchange = Exchange("api", "GET", "/images/", 302, told)
    error = errors.APIStatusError("x", status=302, headers=told, exchange=exchange)
    packed = pickle.dumps(error)
    assert SECRET.encode() not in packed
    assert pickle.loads(packed).headers == {"location": "https://s.example/x?***", "a": "b"}


def test_no_whole_page_stands_in_the_pickle_of_an_error() -> None:
    page = "<!DOCTYPE html><html><title>Bad gateway</title><body>" + "lorem ipsum " * 400
    error = errors.ServerError("x", status=502, body=page)
    assert error.body == page
    assert pickle.loads(pickle.dumps(error)).body == "an HTML page titled 'Bad gateway'"


def test_a_faulty_value_that_cannot_travel_does_not_hold_its_error_back() -> None:
    error = errors.TransformationError(
        [errors.Fault("width", lambda: 1, "no integer"), errors.Fault("dpr", "x", "no number")]
    )
    again = pickle.loads(pickle.dumps(error))
    assert [fault.value for fault in again.faults] == ["function", "x"]
    assert str(again) == str(error)


def test_no_link_of_a_download_job_stands_in_the_pickle_of_an_error() -> None:
    job = decode(
        reply(data(models.ImageDownloadJob, download_url=f"https://s.example/{SECRET}")),
        models.ImageDownloadJob,
    )
    error = errors.WaitTimeoutError("late", record=job)
    packed = pickle.dumps(error)
    assert SECRET.encode() not in packed
    assert pickle.loads(packed).record.id == job.id
    assert error.record is job


def test_an_error_that_many_calls_share_names_two_of_them_at_most() -> None:
    error = RuntimeError(messages.CLIENT_CLOSED)
    for number in range(32):
        messages.prefix_if_closed(error, f"upload of {number}.png")
    assert str(error) == f"upload of 1.png: upload of 0.png: {messages.CLIENT_CLOSED}"
