"""TLS that failed: what it was, and what to do. Pure, but for a look at the environment and at one file's name."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path

from imgwire_async.protocol.intermediaries import ProxyInUse
from imgwire_async.redaction import excerpt, redact

# OpenSSL's verification codes (x509_vfy.h).
_DATES = frozenset({9, 10})
_NAMES = frozenset({62, 63, 64})
_ISSUERS = frozenset({2, 18, 19, 20, 21, 27})
_STRICT = range(79, 95)  # what only VERIFY_X509_STRICT looks at, which is on by default from Python 3.13 on

# What OpenSSL calls bytes that are no TLS: it is plain http.
_NO_TLS = frozenset({
    "WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "UNKNOWN_PROTOCOL", "HTTP_REQUEST",
    "HTTPS_PROXY_REQUEST", "WRONG_SSL_VERSION",
})  # fmt: skip

# Other libraries read these; ours is OpenSSL's own SSL_CERT_FILE.
_OTHERS_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")


def certificate_failure(
    error: ssl.CertificateError, host: str, *, own_trust: bool, environ: Mapping[str, str]
) -> tuple[str, str]:
    """Return why a certificate was refused, and what to do. `own_trust`: `ssl=` was given; `host` is what showed it."""
    said = str(getattr(error, "verify_message", "")).rstrip(".") or str(error)
    reason = f"no trusted TLS connection to {host}: {excerpt(redact(said), 200)}"
    code: int = getattr(error, "verify_code", 0)
    if code in _DATES:
        return reason, "Compare this machine's clock; if it is right, the certificate has to be renewed."
    if code in _NAMES:
        return reason, (
            "The certificate is for another name: check the host in the address (base_url), or whether a proxy or a login page "
            "of the network answers in its place."
        )
    if code in _STRICT:
        return reason, (
            "Python 3.13 and later check more strictly. Let the CA issue certificates with that extension; until then pass ssl= "
            "a context without the flag: context = ssl.create_default_context(cafile=...); "
            "context.verify_flags &= ~ssl.VERIFY_X509_STRICT."
        )
    if code not in _ISSUERS:
        return reason, _CONTEXT
    return reason, f"{_whom_to_trust(own_trust=own_trust)}{_about_the_environment(environ)}"


_CONTEXT = "ssl= takes an ssl.SSLContext with settings of your own, or the path of a CA bundle; so does SSL_CERT_FILE, before the start."


def _whom_to_trust(*, own_trust: bool) -> str:
    if own_trust:
        return "What was given as ssl= does not hold the CA that signed it: add that CA's certificate (PEM), not the server's own."
    return (
        "Nobody whom this machine trusts has signed it. If that is a company's own CA, or a proxy that looks into TLS, give its "
        "certificates: ssl= (the path of a CA bundle, or an ssl.SSLContext), or SSL_CERT_FILE before the program starts."
    )


def _about_the_environment(environ: Mapping[str, str]) -> str:
    bundle = environ.get("SSL_CERT_FILE")
    if bundle:
        return "" if Path(bundle).is_file() else " SSL_CERT_FILE names a file that is not there."
    other = next((name for name in _OTHERS_VARIABLES if environ.get(name)), None)
    return f' {other} is set, but not read here: ssl=os.environ["{other}"] does it.' if other else ""


def refuses_own_certificate(error: ssl.SSLError) -> bool:
    """Return whether the other side wants a certificate of the client, or refuses the one it got: from TLS 1.3 on it says so after
    the handshake.
    """
    name = error.reason or ""
    return "ALERT" in name and ("CERTIFICATE" in name or "UNKNOWN_CA" in name)


def handshake_failure(error: ssl.SSLError, host: str, proxy: ProxyInUse | None) -> tuple[str, str]:
    """Return why no TLS came about although no certificate was refused, and what to do. `proxy`: it is what was spoken to."""
    name = error.reason or ""
    if name in _NO_TLS:
        return f"{host} does not speak TLS at that port: it answered in plain http or something else", _plain(
            proxy
        )
    said = excerpt(redact(name.replace("_", " ").lower() or str(error)), 200)
    if refuses_own_certificate(error):
        advice = "The server wants a certificate of the client, or refuses it: pass ssl= an ssl.SSLContext with load_cert_chain(...)."
        return f"no TLS connection to {host}: {said}", advice
    return f"no TLS connection to {host}: {said}", f"Does it speak https at that port? {_CONTEXT}"


def _plain(proxy: ProxyInUse | None) -> str:
    if proxy is None:
        return "Check the port; for a server that has no TLS begin base_url with http://, not https://."
    return (
        f"Most proxies are spoken to in plain http, also on the way to https hosts: write {proxy.url.replace('https://', 'http://')} "
        f"into {proxy.setting}."
    )
