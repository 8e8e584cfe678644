"""Who answers in place of the API: a proxy in use, or somebody who sends a web page. What that means, and what to do."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from imgwire_async.redaction import excerpt, is_html, redact

# Of a page its beginning tells that it is one, and its title.
_PAGE_PREFIX = 64 * 1024
# What proxies set on answers of their own. `Via` says only that an answer came through one.
_PROXY_HEADERS = ("Proxy-Authenticate", "X-Squid-Error")

WEB_PAGE_ADVICE = (
    "A login page of the network (captive portal), a proxy or firewall, or a server that base_url names by mistake sends such pages: "
    "open that address in a browser, and check base_url."
)


# The same of a host that base_url does not name.
WEB_PAGE_ADVICE_FOR_FILES = "A login page of the network (captive portal), a proxy or a firewall sends such pages: let them allow that host."


@attrs.frozen
class ProxyInUse:
    """The proxy that a request takes: its URL without user and password, and the setting that named it."""

    url: str
    setting: str  # "proxy=", or the name of an environment variable
    has_credentials: bool = False

    def __str__(self) -> str:
        return f"the proxy {self.url} (from {self.setting})"

    @property
    def bypass_advice(self) -> str:
        """Return what leads around the proxy, as the second half of a sentence."""
        if self.setting == "proxy=":
            return "leave proxy= away to go without it"
        return "list the host in NO_PROXY or pass trust_env=False to go without it"

    def advice(self, status: int | None, challenge: str = "") -> str:
        """Return what to do about an answer of the proxy; `challenge` is its `Proxy-Authenticate`."""
        if status == 407:
            return f"{self._credentials(challenge)}, or {self.bypass_advice}."
        if status is not None and status >= 500:
            return f"It cannot reach the host, or not now: ask whoever runs it, or {self.bypass_advice}."
        return f"Its rules may not allow that host, or not without user and password: ask whoever runs it, or {self.bypass_advice}."

    def _credentials(self, challenge: str) -> str:
        schemes = [
            word for word in ("Negotiate", "NTLM", "Digest", "Bearer") if word.lower() in challenge.lower()
        ]
        if schemes and "basic" not in challenge.lower():
            return f"It wants {' or '.join(schemes)}, but only user and password (Basic) can be given: ask whoever runs it for another way"
        if self.has_credentials:
            return f"It refuses the user and password in {self.setting}: correct them (special characters percent-encoded)"
        return f"It wants credentials: write them into {self.setting} as http://user:password@host:port"


def is_proxy_response(headers: Mapping[str, str]) -> bool:
    """Return whether an answer says of itself that a proxy made it, not the host behind it."""
    return any(name in headers for name in _PROXY_HEADERS) or "error=" in headers.get("Proxy-Status", "")


def web_page_title(headers: Mapping[str, str], body: bytes) -> str | None:
    """Return what a body that is no JSON says, in a line, if it is a web page; None if it is none."""
    text = body[:_PAGE_PREFIX].decode("utf-8", "replace")
    if is_html(text):
        return excerpt(redact(text))
    kind = headers.get("Content-Type", "").strip().lower()
    return "HTML" if text.strip() and kind.startswith(("text/html", "application/xhtml")) else None


def interception_warning(host: str, headers: Mapping[str, str], body: bytes) -> str:
    """Return a sentence, with a blank after it, when a refusal looks as if somebody else than `host` had answered; else nothing."""
    if web_page_title(headers, body) is None and not is_proxy_response(headers):
        return ""
    return (
        f"By its looks a proxy, a firewall or a login page of the network (captive portal) may have answered in place of {host}: "
        "look at network and proxy. "
    )
