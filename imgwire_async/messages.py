"""Messages of errors that several modules raise."""

from __future__ import annotations

from imgwire_async.redaction import escape_unprintable

# Part of the error message when a call failed, but may have changed records at the service.
MAY_HAVE_SUCCEEDED = "The service may have carried out this call: check the records before you repeat it."
# The path of the call that creates the record of an image before its file is uploaded. When this call is
# repeated, the service may create a second record, but no second picture.
_CREATE_PATH = "/images/standard_upload"
_MAY_HAVE_CREATED = "The service may have created a record without bytes."

# The message of the `RuntimeError` for any use of a closed client.
CLIENT_CLOSED = "the client is closed; make a new one, or keep this one open for the life of the application"


def outcome_warning(method: str, path: str) -> str:
    """Return a sentence that says what a call without a usable response may have changed, or `""`.

    The sentence ends with a space, to be put before advice.
    """
    if method in {"GET", "HEAD"}:
        return ""
    return f"{_MAY_HAVE_CREATED if path == _CREATE_PATH else MAY_HAVE_SUCCEEDED} "


def prefix_closed_client_error(error: RuntimeError, operation: str) -> None:
    """Put the name of the failed operation before the message of `error`, if a closed client raised `error`.

    The message gets at most two names: the name of the API call, and the name of the upload that made the
    call. Further names are not added. Several calls that wait for the same API key may raise the same
    exception object, and each would add its name.
    """
    message = str(error.args[0]) if error.args else ""
    if message.endswith(CLIENT_CLOSED) and message.removesuffix(CLIENT_CLOSED).count(": ") < 2:
        error.args = (escape_unprintable(f"{operation}: {message}"),)
