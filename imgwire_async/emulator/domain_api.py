"""The API operations on the custom domain."""

from __future__ import annotations

import re
import secrets

from imgwire_async.emulator.http import HTTPError, Response, api_error, json_response
from imgwire_async.emulator.lifecycle import domain_after_test
from imgwire_async.emulator.records import CustomDomain, domain_json
from imgwire_async.emulator.state import ApiCall, State, not_found
from imgwire_async.emulator.store import new_id
from imgwire_async.emulator.validation import Field, InvalidError, Loc, Problem, validator
from imgwire_async.emulator.validators import text

__all__ = ["HOSTNAME_FIELDS", "create", "delete", "hostname", "retrieve", "test_connection"]

# A label has 1 to 63 letters, digits and hyphens. It does not start or end with a hyphen. The host name needs
# at least three labels: the service accepts `images.example.com`, but not `example.com`. [contract 9]
_LABEL = r"(?!-)[a-z0-9-]{1,63}(?<!-)"
_SUBDOMAIN = re.compile(rf"({_LABEL}\.){{2,}}(?!\d+$){_LABEL}", re.IGNORECASE | re.ASCII)


@validator(type="string")
def hostname(value: object, loc: Loc) -> str:
    """Check that `value` is the host name of a subdomain, and return it in lower case.

    Raises `InvalidError` for any other value, such as a URL, or a host name with a port.
    """
    name = str(text(1)(value, loc))
    if len(name) > 253 or not _SUBDOMAIN.fullmatch(name):
        message = "Value error, the host name must be a subdomain without scheme, port or path"
        raise InvalidError(Problem(loc, message, "value_error"))
    return name.lower()


HOSTNAME_FIELDS = (Field("hostname", hostname, required=True),)


def retrieve(state: State, call: ApiCall) -> Response:
    """Return the custom domain.

    [GET /custom_domain/]
    """
    return json_response(domain_json(_domain(state)))


def create(state: State, call: ApiCall) -> Response:
    """Create the custom domain.

    [POST /custom_domain/]
    """
    name = call.body.text("hostname")
    if name in state.settings.claimed_hostnames:
        raise HTTPError(api_error(409, "ConflictError", "The host name is already claimed."))
    if state.store.domain is not None:
        raise HTTPError(api_error(409, "ConflictError", "This environment already has a custom domain."))
    state.store.domain = CustomDomain(
        id=new_id(),
        environment_id=state.store.environment_id,
        hostname=name,
        cname_value="custom.cdn.emulator.invalid",
        dcv_cname_value=f"{secrets.token_hex(8)}.dcv.emulator.invalid",
        created_at=call.now,
        updated_at=call.now,
    )
    return json_response(domain_json(state.store.domain))


def delete(state: State, call: ApiCall) -> Response:
    """Delete the custom domain.

    [DELETE /custom_domain/]
    """
    domain = _domain(state)
    state.store.domain = None
    return json_response({"id": domain.id, "detail": "Custom domain deleted."})


def test_connection(state: State, call: ApiCall) -> Response:
    """Test the DNS records of the custom domain, and return the domain with the result.

    [POST /custom_domain/test_connection]
    """
    state.store.domain = domain_after_test(
        _domain(state), call.now, required_tests=state.settings.domain_polls
    )
    return json_response(domain_json(state.store.domain))


def _domain(state: State) -> CustomDomain:
    if state.store.domain is None:
        raise not_found()
    return state.store.domain
