"""Explain TLS errors to the user: what failed, and what to do.

The only I/O in these functions is a check whether the file that `SSL_CERT_FILE` names exists.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path

from imgwire_async.protocol.intermediaries import ProxyInUse
from imgwire_async.redaction import excerpt, redact

# OpenSSL's codes (x509_vfy.h) for a certificate with wrong dates, a wrong host name, or an unknown issuer.
_DATE_CODES = frozenset({9, 10})
_NAME_CODES = frozenset({62, 63, 64})
_ISSUER_CODES = frozenset({2, 18, 19, 20, 21, 27})
# OpenSSL reports these codes only if the flag VERIFY_X509_STRICT is set. Python sets this flag by default
# from 3.13 on.
_STRICT_CODES = range(79, 95)

# The reasons that OpenSSL reports if it receives other bytes than TLS, because the server speaks plain http.
_PLAIN_HTTP_REASONS = frozenset({
    "WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "UNKNOWN_PROTOCOL", "HTTP_REQUEST",
    "HTTPS_PROXY_REQUEST", "WRONG_SSL_VERSION",
})  # fmt: skip

# Environment variables that name a CA bundle for other programs. This library does not read them, and
# neither does OpenSSL, which reads SSL_CERT_FILE and SSL_CERT_DIR.
_UNUSED_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")


def certificate_failure(
    error: ssl.CertificateError, host: str, *, custom_ssl: bool, environ: Mapping[str, str]
) -> tuple[str, str]:
    """Return the reason why a certificate was rejected, and advice for the user.

    `host` is the server or proxy that sent the certificate. `custom_ssl` says whether the option `ssl` is
    set.
    """
    message = str(getattr(error, "verify_message", "")).rstrip(".") or str(error)
    reason = f"no trusted TLS connection to {host}: {excerpt(redact(message), 200)}"
    code: int = getattr(error, "verify_code", 0)
    if code in _DATE_CODES:
        return (
            reason,
            "Check this machine's clock. If it is right, the server's certificate has to be renewed.",
        )
    if code in _NAME_CODES:
        return reason, (
            "The certificate is for another host name. Check the host in base_url, and whether a proxy or a login page of the "
            "network responds in its place."
        )
    if code in _STRICT_CODES:
        return reason, (
            "Python 3.13 and later check certificates more strictly. The CA has to issue certificates with that extension. Until "
            "then pass ssl= a context without the flag: context = ssl.create_default_context(cafile=...); "
            "context.verify_flags &= ~ssl.VERIFY_X509_STRICT."
        )
    if code not in _ISSUER_CODES:
        return reason, _SSL_ADVICE
    return reason, f"{_trust_advice(custom_ssl=custom_ssl)}{_environment_advice(environ)}"


_SSL_ADVICE = "ssl= takes an ssl.SSLContext, or the path of a CA bundle. SSL_CERT_FILE names a CA bundle, too, if set before the start."


def _trust_advice(*, custom_ssl: bool) -> str:
    if custom_ssl:
        return "The CA that signed it is not in ssl=: add that CA's certificate (PEM), not the server's own."
    return (
        "No CA that this machine trusts has signed it. If a company's own CA or an intercepting proxy signed it, pass the CA's "
        "certificates: as ssl= (the path of a CA bundle, or an ssl.SSLContext), or in SSL_CERT_FILE before the program starts."
    )


def _environment_advice(environ: Mapping[str, str]) -> str:
    bundle = environ.get("SSL_CERT_FILE")
    if bundle:
        return "" if Path(bundle).is_file() else " SSL_CERT_FILE names a file that does not exist."
    other = next((name for name in _UNUSED_VARIABLES if environ.get(name)), None)
    return (
        f' {other} is set, but this library does not read it: pass ssl=os.environ["{other}"].'
        if other
        else ""
    )


def rejects_client_certificate(error: ssl.SSLError) -> bool:
    """Return whether the peer rejects the client's certificate, or requires one.

    From TLS 1.3 on, this error comes after the handshake.
    """
    name = error.reason or ""
    return "ALERT" in name and ("CERTIFICATE" in name or "UNKNOWN_CA" in name)


def handshake_failure(error: ssl.SSLError, host: str, proxy: ProxyInUse | None) -> tuple[str, str]:
    """Return the reason why a TLS handshake failed, and advice for the user.

    If the client rejected the server's certificate, call `certificate_failure` instead. `proxy` is the proxy
    if the handshake was with a proxy, else None.
    """
    name = error.reason or ""
    if name in _PLAIN_HTTP_REASONS:
        reason = f"{host} does not speak TLS at that port: it sent plain http or something else"
        return reason, _plain_http_advice(proxy)
    message = excerpt(redact(name.replace("_", " ").lower() or str(error)), 200)
    if rejects_client_certificate(error):
        advice = "The server requires a client certificate, or rejects yours: pass ssl= an ssl.SSLContext with load_cert_chain(...)."
        return f"no TLS connection to {host}: {message}", advice
    return f"no TLS connection to {host}: {message}", f"Does it speak https at that port? {_SSL_ADVICE}"


def _plain_http_advice(proxy: ProxyInUse | None) -> str:
    if proxy is None:
        return "Check the port. If the server has no TLS, write base_url with http://, not https://."
    return (
        f"Clients speak plain http to most proxies, for https hosts too: set {proxy.setting} to "
        f"{proxy.url.replace('https://', 'http://')}."
    )
