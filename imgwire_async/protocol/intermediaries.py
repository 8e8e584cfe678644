"""Recognize responses that a proxy, a firewall or a login page sent in place of the API, and give advice."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from imgwire_async.redaction import excerpt, is_html, redact

# How many bytes at the start of a body are searched for HTML tags and the title of a web page.
_SEARCHED_PAGE_BYTES = 64 * 1024
# Only a proxy that creates a response sends these headers. The header `Via` is not in this list, because a
# proxy adds it to responses of the API, too.
_PROXY_HEADERS = ("Proxy-Authenticate", "X-Squid-Error")

WEB_PAGE_ADVICE = (
    "Such a response may come from a login page of the network (captive portal), a proxy, a firewall, or a wrong server in base_url: "
    "open base_url in a browser and check it."
)

# The advice after a web page in place of a file from the CDN or the storage. It does not mention base_url,
# because that setting does not contain their hosts.
WEB_PAGE_ADVICE_FOR_FILES = "Such a page may come from a login page of the network (captive portal), a proxy or a firewall: log in, or allow that host in the proxy or firewall."


@attrs.frozen
class ProxyInUse:
    """The proxy that a request uses.

    `url` has no user and no password. `setting` is where the user configured the proxy: "proxy=" for the
    argument of the client, or the name of an environment variable.
    """

    url: str
    setting: str
    has_credentials: bool = False

    def __str__(self) -> str:
        return f"the proxy {self.url} (from {self.setting})"

    @property
    def bypass_advice(self) -> str:
        """Advice on how to connect without the proxy, as the end of a sentence, after the word "or"."""
        if self.setting == "proxy=":
            return "remove proxy= to connect directly"
        return "list the host in NO_PROXY or pass trust_env=False to connect directly"

    def advice(self, status: int | None, challenge: str = "") -> str:
        """Return advice for the user after the proxy sent an error response, or no response.

        `status` is the status of the response, or None without a response. `challenge` is the value of its
        `Proxy-Authenticate` header.
        """
        if status == 407:
            return f"{self._credentials(challenge)}, or {self.bypass_advice}."
        if status is not None and status >= 500:
            return f"It cannot reach the host at the moment: ask its administrator, or {self.bypass_advice}."
        return f"Its rules may not allow that host, or not without credentials: ask its administrator, or {self.bypass_advice}."

    def _credentials(self, challenge: str) -> str:
        """Return the advice for a 407 response, in which the proxy requires user and password."""
        schemes = [
            name for name in ("Negotiate", "NTLM", "Digest", "Bearer") if name.lower() in challenge.lower()
        ]
        if schemes and "basic" not in challenge.lower():
            return f"It requires {' or '.join(schemes)}, but this client supports only Basic (user and password): ask its administrator"
        if self.has_credentials:
            return f"It rejects the user and password in {self.setting}: correct them (special characters percent-encoded)"
        return f"It requires credentials: write them into {self.setting} as http://user:password@host:port"


def is_proxy_response(headers: Mapping[str, str]) -> bool:
    """Return whether the headers show that a proxy created the response, and did not only forward it."""
    return any(name in headers for name in _PROXY_HEADERS) or "error=" in headers.get("Proxy-Status", "")


def web_page_title(headers: Mapping[str, str], body: bytes) -> str | None:
    """Return the title of a web page, or another short text about it. Return None when `body` is no web page.

    Callers pass bodies that are not JSON.
    """
    text = body[:_SEARCHED_PAGE_BYTES].decode("utf-8", "replace")
    if is_html(text):
        return excerpt(redact(text))
    kind = headers.get("Content-Type", "").strip().lower()
    return "HTML" if text.strip() and kind.startswith(("text/html", "application/xhtml")) else None


def interception_warning(host: str, headers: Mapping[str, str], body: bytes) -> str:
    """Return a warning that a server other than `host` may have sent the response.

    The warning is a sentence with a space at its end, to be put before another message. The result is empty
    when the response shows no sign of such a server.
    """
    if web_page_title(headers, body) is None and not is_proxy_response(headers):
        return ""
    return (
        f"A proxy, a firewall or a login page of the network (captive portal) may have answered in place of {host}: "
        "check network and proxy. "
    )
