"""Messages of errors that several modules raise."""

from __future__ import annotations

from imgwire_async.redaction import escape_unprintable

# For a failed call that may have changed records at the service.
MAY_HAVE_SUCCEEDED = "The service may have carried out this call: check the records before you repeat it."

# The message of the `RuntimeError` for any use of a closed client.
CLIENT_CLOSED = "the client is closed; make a new one, or keep this one open for the life of the application"


def prefix_closed_client_error(error: RuntimeError, operation: str) -> None:
    """Prefix the message of an error with the failed operation, if a closed client raised the error.

    At most two names are added: the call, and the upload around it. Several calls may share one error,
    because they wait for the same API key.
    """
    message = str(error.args[0]) if error.args else ""
    if message.endswith(CLIENT_CLOSED) and message.removesuffix(CLIENT_CLOSED).count(": ") < 2:
        error.args = (escape_unprintable(f"{operation}: {message}"),)
