"""The Test button of the Connections page.

A user is waiting, so there is one attempt, with an overall time limit. The message has the error, and advice about the
form's fields.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
import threading
import time
from queue import Empty, SimpleQueue
from urllib.parse import urlsplit

from airflow_vectordb import rest
from airflow_vectordb._compat import mask_secret
from airflow_vectordb.hooks.connection import AnyConnection, ca_bundle_of, config_from_connection
from airflow_vectordb.hooks.connection_fields import EXTRA_FIELDS, STANDARD_FIELDS
from airflow_vectordb.rest import DEFAULT_PORT, errors
from airflow_vectordb.rest.config import MilvusConfig
from airflow_vectordb.rest.hosts import proxy_for
from airflow_vectordb.rest.text import sanitize_text
from airflow_vectordb.rest.wording import duration

#: Seconds for the whole test, including the look-up of the host's name.
LONGEST = 6.0
#: Seconds for an answer; shorter, so that the message can say what happened and not only that it took too long.
LONGEST_ANSWER = 4.0
#: Seconds to find out which protocol a port speaks.
LONGEST_PROBE = 1.0
#: Characters of the error's first sentence: the page has more room than a log line.
LONGEST_CAUSE = 500
#: The port of Milvus's health checks, metrics and WebUI.
MANAGEMENT_PORT = 9091

_LABELS = {field.name: f'"{field.label}"' for field in (*STANDARD_FIELDS, *EXTRA_FIELDS)}
_HOST, _PORT, _USER, _PASSWORD, _DATABASE = (_LABELS[name] for name in ("host", "port", "login", "password", "schema"))
_SECURE, _VERIFY = _LABELS["secure"], _LABELS["verify"]
_ADDRESS = f"Check {_HOST} and {_PORT}: Milvus listens on {DEFAULT_PORT}."
_API_KEY = f"An API key goes into {_PASSWORD}, with {_USER} left empty."

#: Advice by the error's class or nearest base class.
_ADVICE: dict[type[errors.MilvusError], str] = {
    errors.ConnectError: f"Is Milvus up? {_ADDRESS} The API server and the workers must be able to resolve the name.",
    errors.NoAnswerError: f"Is it Milvus's port, is Milvus up, and is there no firewall between? {_ADDRESS}",
    errors.NoSuchEndpointError: f"Is it Milvus 2.4 or later? {_ADDRESS}",
    errors.RedirectError: f"Set {_HOST} to the final address, without the call's path.",
    errors.NotMilvusError: f"{_ADDRESS} Attu, the WebUI, gRPC and proxies have ports of their own.",
    errors.UnavailableError: "Try again in a while; if the error stays, see Milvus's log.",
    errors.AuthenticationError: f"Check {_USER} and {_PASSWORD}. {_API_KEY}",
    errors.PermissionDeniedError: (
        f"Grant the privilege ShowCollections to a role of the user, or check {_USER} and {_DATABASE}. Tasks need "
        "other privileges, and may work without this one."
    ),
    errors.DatabaseNotFoundError: f"Check {_DATABASE} (empty: default), or create it.",
    errors.MilvusError: f"Check {_DATABASE} and {_USER}, and see Milvus's log.",
}
#: Advice for TLS errors: pattern in the message -> advice.
_TLS_ADVICE = (
    ("ca bundle", f"Set {_VERIFY} to true, false, or the path of a readable file of certificates (PEM)."),
    (
        "mismatch|not valid for|doesn't match",
        f"The certificate is for another name: put one of its names into {_HOST}.",
    ),
    ("expired|not yet valid", f"The server needs another certificate; until then, {_VERIFY} can be false."),
    (
        "certificate_required|handshake_failure",
        f"The server may want client certificates (mutual TLS), which are not supported; if not, check {_PORT}.",
    ),
    (
        "certificate|issuer",
        f"If the certificate is of your own CA, set {_VERIFY} to the path of the CA's bundle (PEM), here and on the "
        "workers.",
    ),
    ("", f"Does this port speak TLS? Check {_PORT}, {_SECURE} and {_HOST}."),
)


def check_connection(connection: AnyConnection, database: str | None = None) -> tuple[bool, str]:
    """
    Check a connection by listing the collections of its database, once.

    :param database: instead of the connection's schema field; None: that one
    :return: whether it works, and a message, without secrets
    """
    problems: list[str] = []
    config = None
    try:
        config = config_from_connection(connection, database)
    except errors.InvalidParametersError as error:
        problems += error.problems
    bundle = ca_bundle_of(connection)
    if bundle is not None and ("\0" in bundle or not os.access(bundle, os.R_OK)):
        problems.append(
            "extra `verify` must be true, false or the path of a CA bundle, and there is no file "
            f"{sanitize_text(bundle, 100)!r} here that can be read (it has to be where connections are tested, and on "
            "the workers)"
        )
    if config is None or problems:
        return False, _listed(problems)
    if config.token:
        mask_secret(config.token)

    # In a thread, since a name look-up cannot be interrupted. The thread ends later, by itself.
    results: SimpleQueue[tuple[bool, str]] = SimpleQueue()

    def check() -> None:
        results.put(_check(config, connection))

    threading.Thread(target=check, name="milvus-connection-test", daemon=True).start()
    try:
        return results.get(timeout=LONGEST)
    except Empty:
        return False, explain(errors.NoAnswerError(f"No answer from {config.url} within {duration(LONGEST)}"), config)


def explain(error: errors.MilvusError, config: MilvusConfig, advice: str | None = None) -> str:
    """Return an error's text for the form, with advice; None: the usual advice for it."""
    return error.with_context(hint=advice or _advice(error, config)).text(longest=LONGEST_CAUSE).replace("\n", " ")


def _advice(error: errors.MilvusError, config: MilvusConfig) -> str:
    host, port = _address(config)
    if isinstance(error, errors.TlsError):
        return next(advice for words, advice in _TLS_ADVICE if re.search(words, error.message, re.IGNORECASE))
    if port == MANAGEMENT_PORT and isinstance(error, errors.NoAnswerError | errors.NotMilvusError):
        return f"{port} is Milvus's port for metrics and the WebUI: set {_PORT} to that of its API, {DEFAULT_PORT}."
    if "HTTP_PROXY" in error.message:
        return f"If {_HOST} is to be reached without it, list the host in NO_PROXY."
    if error.http_status == 407:
        return f"The proxy wants a login: put it into HTTP_PROXY, or list {_HOST} in NO_PROXY."
    if error.code is None and error.http_status is not None and not isinstance(error, errors.NotMilvusError):
        return f"This is not Milvus's own answer. Is Milvus up behind it? Check {_HOST} and {_PORT}."
    if isinstance(error, errors.AuthenticationError) and config.token is None:
        return f"Fill in {_USER} and {_PASSWORD}. {_API_KEY}"
    advice = next(_ADVICE[cls] for cls in type(error).__mro__ if cls in _ADVICE)
    if isinstance(error, errors.ConnectError) and (host in ("localhost", "::1") or host.startswith("127.")):
        advice += f" In a container, {host} is the container itself: use the name under which it sees Milvus."
    return advice


def _check(config: MilvusConfig, connection: AnyConnection) -> tuple[bool, str]:
    try:
        return True, _reach(config, connection.login)
    except errors.MilvusError as error:
        advice = _protocol_advice(error, config, url_given="://" in (connection.host or ""))
        return False, explain(error, config, advice)
    except Exception as error:  # noqa: BLE001 - nothing else reports it from this thread
        return False, config.redact(f"{type(error).__name__}: {error}")


def _reach(config: MilvusConfig, login: str | None) -> str:
    impatient = _ImpatientConfig(
        config.url, config.token, config.database, config.verify, min(config.timeout, LONGEST_ANSWER)
    )
    began = time.monotonic()
    with rest.Client(impatient) as client:
        names = client.send(rest.collections.list_(), retries=0)
    milliseconds = 1000 * (time.monotonic() - began)
    who = "without credentials" if config.token is None else f"as {login}" if login else "with an API key"
    count = f"{len(names)} collection{'' if len(names) == 1 else 's'}"
    return f"Milvus at {config.url} {who}, database {config.database or 'default'}, {count}, {milliseconds:.0f} ms"


class _ImpatientConfig(MilvusConfig):
    @property
    def socket_timeout(self) -> float:
        return LONGEST_ANSWER


def _protocol_advice(error: errors.MilvusError, config: MilvusConfig, *, url_given: bool) -> str | None:
    """Return advice if the port speaks TLS although it was not tried, or the reverse."""
    words = error.message.lower()
    tls_tried = _has_tls(config)
    if isinstance(error, errors.TlsError):
        other = not tls_tried or any(
            sign in words for sign in ("wrong_version_number", "http_request", "unknown_proto")
        )
    elif "https server" in words or "https port" in words:
        other = not tls_tried
    elif isinstance(error, errors.BrokenAnswerError | errors.NotMilvusError) and not proxy_for(config.url):
        other = _speaks_tls(config) is (not tls_tried)
    else:
        other = False
    if not other:
        return None
    found, scheme, switch = "speaks TLS, and the test did not", "https://", "on"
    if tls_tried:
        found, scheme, switch = "does not speak TLS", "http://", "off"
    change = f"begin {_HOST} with {scheme}" if url_given else f"switch {_SECURE} {switch}"
    return f"The port {found}: {change}, or check {_PORT}."


def _has_tls(config: MilvusConfig) -> bool:
    return config.url.lower().startswith("https")


def _address(config: MilvusConfig) -> tuple[str, int]:
    parts = urlsplit(config.url)
    return parts.hostname or "", parts.port or (443 if _has_tls(config) else 80)


def _speaks_tls(config: MilvusConfig) -> bool | None:
    """Return whether the port completes or refuses a TLS handshake, None if it is not reached. No token is sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    address = _address(config)
    try:
        with socket.create_connection(address, LONGEST_PROBE) as sock:
            context.wrap_socket(sock, server_hostname=address[0]).close()
            return True
    except (ssl.SSLError, ConnectionResetError) as error:
        return "ALERT" in (getattr(error, "reason", None) or "")
    except (OSError, ValueError):
        return None


def _listed(problems: list[str]) -> str:
    named = [re.sub(r"extra `(\w+)`|^(timeout|retries)(?= must)", _label, problem) for problem in problems]
    if len(named) == 1:
        return f"This cannot be used: {named[0]}."
    return f"{len(named)} things cannot be used: " + "; ".join(f"({n}) {text}" for n, text in enumerate(named, 1)) + "."


def _label(key: re.Match[str]) -> str:
    name = key[1] or key[2]
    return f"{_LABELS[name]} (extra `{name}`)" if name in _LABELS else key[0]
