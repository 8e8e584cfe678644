"""Recognize responses of proxies, firewalls and login pages in place of the API's, and advise what to do."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from imgwire_async.redaction import excerpt, is_html, redact

# Bytes of a body that are searched for the signs and the title of a web page.
_PAGE_PREFIX = 64 * 1024
# Headers of responses that a proxy made itself. `Via` would only say that a response passed through one.
_PROXY_HEADERS = ("Proxy-Authenticate", "X-Squid-Error")

WEB_PAGE_ADVICE = (
    "It may come from a login page of the network (captive portal), a proxy, a firewall, or a wrong server in base_url: "
    "open base_url in a browser and check it."
)

# The advice for hosts that base_url does not name.
WEB_PAGE_ADVICE_FOR_FILES = "It may come from a login page of the network (captive portal), a proxy or a firewall: allow that host there."


@attrs.frozen
class ProxyInUse:
    """The proxy of a request: its URL without user and password, and the setting that names it."""

    url: str
    # "proxy=", or the name of an environment variable.
    setting: str
    has_credentials: bool = False

    def __str__(self) -> str:
        return f"the proxy {self.url} (from {self.setting})"

    @property
    def bypass_advice(self) -> str:
        """The advice how to connect without the proxy, as the second half of a sentence."""
        if self.setting == "proxy=":
            return "remove proxy= to connect directly"
        return "list the host in NO_PROXY or pass trust_env=False to connect directly"

    def advice(self, status: int | None, challenge: str = "") -> str:
        """Return what to do about a response of the proxy.

        `status` is None when there was no response. `challenge` is its `Proxy-Authenticate` header.
        """
        if status == 407:
            return f"{self._credentials(challenge)}, or {self.bypass_advice}."
        if status is not None and status >= 500:
            return f"It cannot reach the host at the moment: ask its administrator, or {self.bypass_advice}."
        return f"Its rules may not allow that host, or not without credentials: ask its administrator, or {self.bypass_advice}."

    def _credentials(self, challenge: str) -> str:
        """Return the advice for status 407, in which a proxy asks for credentials."""
        schemes = [
            name for name in ("Negotiate", "NTLM", "Digest", "Bearer") if name.lower() in challenge.lower()
        ]
        if schemes and "basic" not in challenge.lower():
            return f"It requires {' or '.join(schemes)}, but this client supports only Basic (user and password): ask its administrator"
        if self.has_credentials:
            return f"It rejects the user and password in {self.setting}: correct them (special characters percent-encoded)"
        return f"It requires credentials: write them into {self.setting} as http://user:password@host:port"


def is_proxy_response(headers: Mapping[str, str]) -> bool:
    """Return whether the headers say that a proxy made the response, not the host behind it."""
    return any(name in headers for name in _PROXY_HEADERS) or "error=" in headers.get("Proxy-Status", "")


def web_page_title(headers: Mapping[str, str], body: bytes) -> str | None:
    """Return a line about a web page, such as its title, or None when the body is no web page.

    Callers pass only bodies that are not JSON.
    """
    text = body[:_PAGE_PREFIX].decode("utf-8", "replace")
    if is_html(text):
        return excerpt(redact(text))
    kind = headers.get("Content-Type", "").strip().lower()
    return "HTML" if text.strip() and kind.startswith(("text/html", "application/xhtml")) else None


def interception_warning(host: str, headers: Mapping[str, str], body: bytes) -> str:
    """Return a warning that another server than `host` may have sent the response, or an empty text.

    The warning is a sentence and a space, for the start of a message.
    """
    if web_page_title(headers, body) is None and not is_proxy_response(headers):
        return ""
    return (
        f"A proxy, a firewall or a login page of the network (captive portal) may have answered in place of {host}: "
        "check network and proxy. "
    )
