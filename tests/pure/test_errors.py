"""The exceptions: their base classes and attributes, and pickles without secrets."""

from __future__ import annotations

import copy
import inspect
import pickle
import pydoc
from typing import Any

import pytest
from samples import EXCHANGE, SECRET, api_response, data, image

import imgwire_async
from imgwire_async import batch_errors, errors, messages, models, results
from imgwire_async.errors import Fault, ImgwireError
from imgwire_async.exchange import Exchange, Headers
from imgwire_async.protocol.codec import decode

IMAGE = decode(api_response(image()), models.Image)
JOB = decode(api_response(data(models.ImageDownloadJob)), models.ImageDownloadJob)
ISSUE = models.ValidationError(loc=("body", 0), msg="no", type="x")

# Arguments of constructors that are not the same for all classes.
KEYWORDS: dict[type[ImgwireError], dict[str, Any]] = {
    errors.APITimeoutError: {"which": "attempt"},
    errors.DecodeError: {"path": "$[3].id", "body": "{}"},
    errors.DownloadError: {"status": 404},
    errors.ArchiveError: {"status": None},
    errors.BulkDeleteError: {"result": results.BulkDeleteResult(unknown=("a",))},
    errors.UploadRejectedError: {"status": 403, "file_name": "a.jpg"},
    errors.DownloadJobFailedError: {"record": JOB},
    batch_errors.JournalError: {"path": "a.journal"},
    batch_errors.JournalLockedError: {"path": "a.journal", "pid": 5, "host": "a"},
    batch_errors.BatchStoppedError: {"reason": "max_failures", "summary": results.BatchSummary(failed=1)},
}


def constructor_arguments(cls: type[ImgwireError]) -> dict[str, Any]:
    arguments = dict(KEYWORDS.get(cls, {}))
    if issubclass(cls, errors.APIStatusError):
        arguments = {
            "status": 404,
            "message": "no",
            "error_type": "X",
            "headers": Headers([("A", "b")]),
            "body": "no",
        }
    elif issubclass(cls, errors.UploadError):
        arguments.setdefault("file_name", "a.jpg")
    parameters = inspect.signature(cls).parameters
    arguments = {"exchange": EXCHANGE, "image": IMAGE} | arguments
    return {name: value for name, value in arguments.items() if name in parameters}


def make_error(cls: type[ImgwireError]) -> ImgwireError:
    error = (
        errors.TransformationError([Fault("widht", 5, "is unknown", "width")])
        if cls is errors.TransformationError
        else cls("what happened", **constructor_arguments(cls))
    )
    if isinstance(error, errors.UnprocessableEntityError):
        error.errors = (ISSUE,)
    if isinstance(error, errors.RateLimitError):
        error.retry_after = 1.5
    error.image = IMAGE
    error.add_note("a note of the caller")
    return error


CLASSES = [
    cls
    for name in imgwire_async.__all__
    if inspect.isclass(cls := getattr(imgwire_async, name)) and issubclass(cls, ImgwireError)
]
classes = pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)


def is_same(one: ImgwireError, other: ImgwireError) -> bool:
    return (
        type(one) is type(other)
        and one.args == other.args
        and str(one) == str(other)
        and {name: value for name, value in vars(one).items() if name != "result"}
        == {name: value for name, value in vars(other).items() if name != "result"}
    )


@classes
def test_all_errors_can_be_pickled_and_copied(cls: type[ImgwireError]) -> None:
    error = make_error(cls)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert is_same(pickle.loads(pickle.dumps(error, protocol)), error)
    assert is_same(copy.copy(error), error)
    assert is_same(copy.deepcopy(error), error)
    assert pickle.loads(pickle.dumps(error)).__notes__ == error.__notes__


@classes
def test_all_errors_can_be_raised_and_chained_after_unpickling(cls: type[ImgwireError]) -> None:
    with pytest.raises(cls) as caught:
        raise pickle.loads(pickle.dumps(make_error(cls))) from OSError("the first one")
    assert isinstance(caught.value.__cause__, OSError)
    assert isinstance(pickle.loads(pickle.dumps(caught.value)), cls)


@classes
def test_all_errors_have_the_attributes_exchange_and_image(cls: type[ImgwireError]) -> None:
    needed = {"status": 500} if issubclass(cls, errors.APIStatusError) else KEYWORDS.get(cls, {})
    error = errors.TransformationError([]) if cls is errors.TransformationError else cls("x", **needed)
    assert error.exchange is None
    assert error.image is None


def test_the_result_of_a_failed_bulk_deletion_can_be_pickled() -> None:
    inner = errors.NotFoundError("gone", status=404)
    result = results.BulkDeleteResult(deleted=("a",), failed=(("b", inner),), unknown=("c",))
    with pytest.raises(errors.BulkDeleteError, match="gone") as caught:
        result.raise_if_failed()
    restored = pickle.loads(pickle.dumps(caught.value))
    assert restored.result.failed[0][0] == "b"
    assert is_same(restored.result.failed[0][1], inner)
    assert (restored.result.deleted, restored.result.unknown) == (("a",), ("c",))


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
def test_an_error_has_these_base_classes(name: str, parents: tuple[type, ...]) -> None:
    assert all(issubclass(getattr(errors, name), parent) for parent in parents)


def test_a_timeout_error_has_no_errno() -> None:
    error = errors.APITimeoutError("too long", which="deadline")
    assert str(error) == "too long"
    assert error.errno is None


def test_help_shows_all_errors_in_the_tree() -> None:
    text = pydoc.render_doc(errors).partition("CLASSES")[0]
    assert [cls.__name__ for cls in CLASSES if cls.__name__ not in text] == []


def test_the_image_of_a_wait_timeout_is_its_record() -> None:
    error = errors.WaitTimeoutError("late", image=IMAGE)
    assert error.record is error.image is IMAGE


def test_a_status_error_reads_its_request_id_from_its_headers() -> None:
    error = errors.NotFoundError("x", status=404, headers=Headers([("X-Request-ID", "r1")]))
    assert error.request_id == "r1"
    assert errors.NotFoundError("x", status=404).request_id is None
    assert dict(errors.NotFoundError("x", status=404).headers) == {}


def test_the_text_of_a_fault_is_one_line_with_rule_reason_and_suggestion() -> None:
    assert str(Fault("widht", 5, "is unknown", "width")) == "widht: is unknown (did you mean 'width'?)"
    assert str(Fault("width", 5, "is too small")) == "width: is too small"
    assert str(Fault("a\nb", 5, "is unknown")) == "'a\\nb': is unknown"
    assert len(str(Fault("x" * 5000, 5, "is unknown"))) < 100


def test_the_pickle_of_an_error_contains_no_secret() -> None:
    headers = Headers(
        [("Set-Cookie", SECRET), ("Location", f"https://s.example/x?X-Amz-Signature={SECRET}"), ("A", "b")]
    )
    exchange = Exchange("api", "GET", "/images/", 302, headers)
    error = errors.APIStatusError("x", status=302, headers=headers, exchange=exchange)
    pickled = pickle.dumps(error)
    assert SECRET.encode() not in pickled
    assert pickle.loads(pickled).headers == {"location": "https://s.example/x?***", "a": "b"}


def test_the_pickle_of_an_error_contains_only_the_title_of_a_web_page() -> None:
    page = "<!DOCTYPE html><html><title>Bad gateway</title><body>" + "lorem ipsum " * 400
    error = errors.ServerError("x", status=502, body=page)
    assert error.body == page
    assert pickle.loads(pickle.dumps(error)).body == "an HTML page titled 'Bad gateway'"


def test_an_error_can_be_pickled_although_a_wrong_value_cannot() -> None:
    error = errors.TransformationError(
        [errors.Fault("width", lambda: 1, "no integer"), errors.Fault("dpr", "x", "no number")]
    )
    restored = pickle.loads(pickle.dumps(error))
    assert [fault.value for fault in restored.faults] == ["function", "x"]
    assert str(restored) == str(error)


def test_the_pickle_of_an_error_contains_no_download_url_of_a_job() -> None:
    job = decode(
        api_response(data(models.ImageDownloadJob, download_url=f"https://s.example/{SECRET}")),
        models.ImageDownloadJob,
    )
    error = errors.WaitTimeoutError("late", record=job)
    pickled = pickle.dumps(error)
    assert SECRET.encode() not in pickled
    assert pickle.loads(pickled).record.id == job.id
    assert error.record is job


def test_an_error_shared_by_many_calls_names_at_most_two_of_them() -> None:
    error = RuntimeError(messages.CLIENT_CLOSED)
    for number in range(32):
        messages.prefix_closed_client_error(error, f"upload of {number}.png")
    assert str(error) == f"upload of 1.png: upload of 0.png: {messages.CLIENT_CLOSED}"
