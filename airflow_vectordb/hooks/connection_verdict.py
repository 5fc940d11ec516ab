"""An error of a connection's test -> what it means, and what to do about it in which field of the form."""

from __future__ import annotations

from urllib.parse import urlsplit

from airflow_vectordb.hooks.connection_fields import DEFAULT_PORT, EXTRA_FIELDS, STANDARD_FIELDS
from airflow_vectordb.rest.config import MilvusConfig
from airflow_vectordb.rest.errors import (
    AnswerTimeoutError,
    AuthenticationError,
    BrokenAnswerError,
    ConnectError,
    DatabaseNotFoundError,
    GatewayError,
    MilvusError,
    NoAnswerError,
    NoSuchEndpointError,
    NotMilvusError,
    PermissionDeniedError,
    RateLimitError,
    RedirectError,
    TlsError,
    UnavailableError,
)
from airflow_vectordb.rest.text import sanitize_text

_LABELS = {field.name: f'"{field.label}"' for field in (*STANDARD_FIELDS, *EXTRA_FIELDS)}
_HOST, _PORT, _USER, _PASSWORD, _DATABASE = (_LABELS[name] for name in ("host", "port", "login", "password", "schema"))
_ADDRESS = f"Check {_HOST} and {_PORT}: Milvus listens on {DEFAULT_PORT}."
_LOOPBACK = "In a container, {host} is the container itself: use the name under which it sees Milvus."
#: The port of Milvus's health checks, metrics and WebUI.
_MANAGEMENT_PORT = 9091


def explain(
    error: MilvusError, config: MilvusConfig, *, url_given: bool, login: str, other_protocol: bool = False
) -> str:
    """
    Word an error for a user in front of the connection's form.

    :param error: what the test ended in, its token taken out
    :param config: what was tested
    :param url_given: whether the form's host is a URL, whose scheme decides about TLS
    :param login: the form's user
    :param other_protocol: whether the port is known to speak TLS where the URL is ``http``, or the other way round
    """
    url = config.url
    parts = urlsplit(url)
    said = sanitize_text(error.message, 300).rstrip(".")
    if said.count("�") > 3:
        said = "another protocol than HTTP, gRPC perhaps"
    if error.code is not None:
        said = f"code {error.code}: {said}"
    if error.http_status not in (None, 200):
        said = f"HTTP {error.http_status}, {said}"
    tls = parts.scheme.lower() == "https"
    if other_protocol:
        return _tls(url, url_given, wanted=not tls)
    if isinstance(error, TlsError):
        return _certificate(url, said)
    if isinstance(error, ConnectError) and "HTTP_PROXY" in said:
        return f"No connection to {url}: {said}. If {_HOST} is to be reached without it, list it in NO_PROXY."
    if isinstance(error, ConnectError):
        return f"No connection to {url}: {said}. Is Milvus up? {_ADDRESS}{_in_container(parts.hostname)}"
    if isinstance(error, AnswerTimeoutError | BrokenAnswerError):
        return f"{url} takes the connection and gives no answer: {said}. Is it Milvus's port, and is Milvus up? " + (
            _management(parts.port) or _ADDRESS
        )
    if isinstance(error, NoAnswerError):
        return f"No answer from {url}: {said}. Is there a firewall between? {_ADDRESS}"
    if isinstance(error, RedirectError):
        return f"{url}: {said}. Redirects are not followed: set {_HOST} to the final address, without the call's path."
    if isinstance(error, NoSuchEndpointError):
        return f"{url} has no API of Milvus's, version 2 ({said}). " + (
            _management(parts.port) or f"It is Milvus before 2.4, or something else. {_ADDRESS}"
        )
    if error.http_status == 407:
        return f"The proxy before {url} wants a login ({said}). Put it into HTTP_PROXY, or list {_HOST} in NO_PROXY."
    if isinstance(error, NotMilvusError):
        return f"What answers at {url} is not Milvus ({said}). " + (
            _management(parts.port) or f"{_ADDRESS} Attu, a WebUI and proxies have ports of their own."
        )
    if error.code is None and isinstance(error, GatewayError | RateLimitError | AuthenticationError):
        return f"Something before Milvus refuses at {url} ({said}). Is Milvus up behind it? Check {_HOST} and {_PORT}."
    if error.code is None and isinstance(error, PermissionDeniedError):
        return f"Something before Milvus refuses at {url} ({said}). May this machine reach it? Check {_HOST}."
    return _refused(error, config, login, said)


def _refused(error: MilvusError, config: MilvusConfig, login: str, said: str) -> str:
    url, database = config.url, config.database or "default"
    who = f"user {login!r}" if login else "the API key" if config.token else "callers without credentials"
    api_key = f"An API key goes into {_PASSWORD}, with {_USER} left empty."
    if isinstance(error, AuthenticationError):
        if config.token is None:
            return f"Milvus at {url} wants credentials ({said}). Fill in {_USER} and {_PASSWORD}. {api_key}"
        if login:
            return f"Milvus at {url} does not accept {who} with this password ({said}). Check both. {api_key}"
        return (
            f"Milvus at {url} does not accept the API key ({said}). Check {_PASSWORD}; with a password in place of "
            f"an API key, fill in {_USER} too."
        )
    if isinstance(error, PermissionDeniedError):
        return (
            f"Milvus at {url} lets {who} in, but not list the collections of database {database!r} ({said}). Grant "
            f"the privilege ShowCollections to a role of the user, or check {_USER} and {_DATABASE}. Tasks need other "
            "privileges, and may work without this one."
        )
    if isinstance(error, DatabaseNotFoundError):
        return (
            f"Milvus at {url} has no database {database!r}, or none that {who} may see ({said}). Check {_DATABASE} "
            "(empty: default), or create it."
        )
    if isinstance(error, UnavailableError):
        return f"Milvus at {url} cannot answer now ({said}). Try again in a while; if it stays so, look at its log."
    return f"Milvus at {url} refuses ({said}). Check {_DATABASE} and {_USER}, and look at Milvus's log."


def is_other_protocol(error: MilvusError, *, tls: bool) -> bool:
    """
    Tell by an error's words whether a port speaks TLS where it was not tried, or the other way round.

    :param error: what the test ended in
    :param tls: whether TLS was tried
    """
    if tls:
        return isinstance(error, TlsError) and any(
            word in error.message for word in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL")
        )
    words = error.message.lower()
    return isinstance(error, TlsError) or (
        isinstance(error, NotMilvusError) and any(sign in words for sign in ("https server", "https port"))
    )


def _tls(url: str, url_given: bool, *, wanted: bool) -> str:
    secure = _LABELS["secure"]
    if wanted:
        found, doing = "speaks TLS, and the test did not", f"switch {secure} on"
    else:
        found, doing = "does not speak TLS", f"switch {secure} off"
    if url_given:
        doing = f"begin {_HOST} with {'https' if wanted else 'http'}://"
    return f"The port of {url} {found}: {doing}, or check {_PORT}."


def _certificate(url: str, said: str) -> str:
    verify = _LABELS["verify"]
    words = said.lower()
    if "ca bundle" in words:
        doing = f"{verify} has to be true, false, or the path of a readable file of certificates (PEM)"
    elif "mismatch" in words or "not valid for" in words or "doesn't match" in words:
        doing = f"The certificate is for another name: put one of its names into {_HOST}"
    elif "expired" in words or "not yet valid" in words:
        doing = f"The server needs another certificate; until then, {verify} can be false"
    elif "certificate_required" in words or "handshake_failure" in words:
        doing = f"It may want a certificate of its clients (mutual TLS), which is not supported; if not, check {_PORT}"
    elif "certificate" in words or "issuer" in words:
        doing = (
            f"If the certificate is of your own CA, set {verify} to the path of the CA's bundle (PEM), here and on the "
            "workers"
        )
    else:
        doing = f"Does this port speak TLS? Check {_PORT}, {_LABELS['secure']} and {_HOST}"
    return f"No TLS connection to {url}: {said.removeprefix('TLS: ')}. {doing}."


def _management(port: int | None) -> str:
    if port != _MANAGEMENT_PORT:
        return ""
    return f"{port} is Milvus's port for metrics and the WebUI: set {_PORT} to that of its API, {DEFAULT_PORT}."


def _in_container(host: str | None) -> str:
    here = host == "localhost" or host == "::1" or (host or "").startswith("127.")
    return f" {_LOOPBACK.format(host=host)}" if here else ""


__all__ = ["explain", "is_other_protocol"]
