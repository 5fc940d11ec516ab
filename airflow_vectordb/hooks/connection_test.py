"""The Test button of the Connections page, and ``airflow-vectordb check``, which reports more.

A user is waiting, so there is one attempt, with an overall time limit. Nothing is changed.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from queue import Empty, SimpleQueue
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

from airflow.sdk import Connection

from airflow_vectordb import health, rest
from airflow_vectordb._compat import AirflowException, AirflowNotFoundException, mask_secret
from airflow_vectordb.hooks.connection import AnyConnection, ca_bundle_of, config_from_connection, undefined
from airflow_vectordb.hooks.connection_fields import EXTRA_FIELDS, STANDARD_FIELDS
from airflow_vectordb.rest import DEFAULT_DATABASE, DEFAULT_PORT, errors
from airflow_vectordb.rest.config import MilvusConfig
from airflow_vectordb.rest.hosts import proxy_for
from airflow_vectordb.rest.http.call import Call, parse_none
from airflow_vectordb.rest.http.transport import NOT_TLS, unverified_context
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
#: The port of Milvus's metrics and health checks.
METRICS_PORT = 9091
#: Paths that a version introduced, the latest first. They are called without a required name, so they have no effect.
VERSIONS = (
    ("3.0", "collections/truncate"),
    ("2.6", "collections/fields/add"),
    ("2.5", "collections/flush"),
)

_ADDRESS = f"Check host and port: by default, Milvus's API is on {DEFAULT_PORT}."
SILENCE = f"Is Milvus up, and no firewall in between? {_ADDRESS}"
#: Advice where the errors' own is for tasks, whose server has answered before, or whose author wrote the request.
ADVICE: dict[type[errors.MilvusError], str] = {
    errors.ConnectError: f"Is it up? {_ADDRESS} The API server and the workers must both reach it.",
    errors.AnswerTimeoutError: SILENCE,
    errors.BrokenAnswerError: SILENCE,
    errors.NotMilvusError: f"{_ADDRESS} Attu, the WebUI and proxies have ports of their own.",
    errors.PermissionDeniedError: "Grant it to the user's role. Tasks need others, and may work without this one.",
    errors.DatabaseNotFoundError: "Create it, or check schema (empty: default).",
    errors.BadRequestError: "Check schema and login, and see Milvus's log.",
    errors.UnexpectedError: "Check schema and login, and see Milvus's log.",
}

_LABELS = {field.name: f'"{field.label}"' for field in (*STANDARD_FIELDS, *EXTRA_FIELDS)}
#: Names of fields in advice, in whose place the form has labels.
_NAMES = re.compile(r"`?\b(host|port|login|password|schema|secure|verify|timeout|client_cert)\b`?")

State = Literal["ok", "warning", "failed"]


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
        text = f"No answer from {config.url} within {duration(LONGEST)}"
        return False, _explain(errors.NoAnswerError(text, hint=SILENCE))


def connection_in_environment(conn_id: str) -> Connection | None:
    """
    Read a connection that Airflow cannot read.

    The API server stores the form's values in an environment variable, as a URI. If the port is invalid, Airflow cannot
    parse it, and reports that the connection is not defined.

    :return: the connection, with the port as it was given; None if there is none, or if it still cannot be read
    """
    given = os.environ.get(f"AIRFLOW_CONN_{conn_id.upper()}", "")
    # Everything else is quoted, so the text between a colon and the path is the port.
    found = re.fullmatch(r"([^?]*?):(-?\d+)((?:/[^/?]*)?(?:\?.*)?)", given, re.DOTALL)
    if found is None:
        return None
    try:
        connection = Connection.from_uri(found[1] + found[3], conn_id=conn_id)
    except (AirflowException, ValueError):
        return None
    connection.port = int(found[2])
    return connection


def _explain(error: errors.MilvusError) -> str:
    hint = _NAMES.sub(lambda name: _LABELS[name[1]], error.hint)
    return error.with_context(hint=hint).text(longest=LONGEST_CAUSE).replace("\n", " ")


def _check(config: MilvusConfig, connection: AnyConnection) -> tuple[bool, str]:
    try:
        return True, _reach(config, connection.login)
    except errors.MilvusError as error:
        return False, _explain(error.with_context(hint=_advice(error, config, connection)))
    except Exception as error:  # noqa: BLE001 - nothing else reports it from this thread
        return False, config.redact(f"{type(error).__name__}: {error}")


def _reach(config: MilvusConfig, login: str | None) -> str:
    timeout = min(config.timeout, LONGEST_ANSWER)
    impatient = _ImpatientConfig(
        config.url, config.token, config.database, config.verify, timeout, client_cert=config.client_cert
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


def _advice(error: errors.MilvusError, config: MilvusConfig, connection: AnyConnection) -> str | None:
    """Return advice that is better than the error's own, if there is any."""
    host, port = _address(config)
    if port == METRICS_PORT and isinstance(error, errors.NoAnswerError | errors.NotMilvusError):
        return f"{port} is for Milvus's metrics and health: set port to that of its API, {DEFAULT_PORT}."
    if _is_other_protocol(error, config):
        found, scheme, switch = "speaks TLS, and the test did not", "https://", "on"
        if _has_tls(config):
            found, scheme, switch = "does not speak TLS", "http://", "off"
        url_given = "://" in (connection.host or "")
        change = f"begin host with {scheme}" if url_given else f"switch secure {switch}"
        return f"The server {found}: {change}, or check port."
    if error.http_status == 407:
        return "The proxy wants credentials: put them into HTTP_PROXY, or list the server in NO_PROXY."
    if error.hint != error.advice:
        return None
    advice = ADVICE.get(type(error))
    if isinstance(error, errors.ConnectError) and (host in ("localhost", "::1") or host.startswith("127.")):
        advice = f"{advice} In a container, {host} is the container itself: use the name by which it reaches Milvus."
    return advice


def _is_other_protocol(error: errors.MilvusError, config: MilvusConfig) -> bool:
    """Return whether the port speaks TLS although it was not tried, or the reverse."""
    by_milvus = error.code is not None
    if by_milvus or isinstance(error, errors.ConnectError | errors.AnswerTimeoutError) or proxy_for(config.url):
        return False
    if not _has_tls(config):
        return _speaks_tls(config)
    # A port that only ends handshakes may speak TLS.
    other = isinstance(error, errors.TlsError) and any(reason in error.message for reason in NOT_TLS)
    return other or (isinstance(error, errors.BrokenAnswerError) and _speaks_http(config))


def _has_tls(config: MilvusConfig) -> bool:
    return config.url.lower().startswith("https")


def _address(config: MilvusConfig) -> tuple[str, int]:
    parts = urlsplit(config.url)
    return parts.hostname or "", parts.port or (443 if _has_tls(config) else 80)


def _speaks_tls(config: MilvusConfig) -> bool:
    """Return whether the port completes or refuses a TLS handshake. No token is sent."""
    context = unverified_context()
    address = _address(config)
    try:
        with socket.create_connection(address, LONGEST_PROBE) as sock:
            context.wrap_socket(sock, server_hostname=address[0]).close()
            return True
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")
    except (OSError, ValueError):
        return False


def _speaks_http(config: MilvusConfig) -> bool:
    """Return whether the port answers in HTTP without TLS. No token is sent."""
    address = _address(config)
    try:
        with socket.create_connection(address, LONGEST_PROBE) as sock:
            sock.sendall(f"GET / HTTP/1.0\r\nHost: {address[0]}\r\n\r\n".encode())
            answer = sock.recv(4096)
    except (OSError, ValueError):
        return False
    # TLS servers answer plain HTTP with such a message.
    return answer.startswith(b"HTTP/") and b"HTTPS" not in answer


def _listed(problems: list[str]) -> str:
    def label(name: re.Match[str]) -> str:
        return f"{_LABELS[name[1]]} (extra `{name[1]}`)"

    named = [
        re.sub(r"^(?:extra `)?(secure|verify|timeout|retries|client_cert)\b`?", label, problem) for problem in problems
    ]
    if len(named) == 1:
        return f"This cannot be used: {named[0]}."
    return f"{len(named)} things cannot be used: " + "; ".join(f"({n}) {text}" for n, text in enumerate(named, 1)) + "."


class Finding(NamedTuple):
    """A line of the report; only ``failed`` makes the check fail."""

    subject: str
    state: State
    text: str


def check(conn_id: str, database: str | None = None, collection: str | None = None) -> Iterator[Finding]:
    """
    Check a connection, and yield each finding immediately.

    :param database: instead of the connection's; None: that one
    :param collection: the collection to try privileges on; None: any
    """
    # Outside of tasks, only Airflow's own models also read its database.
    from airflow.models.connection import Connection

    try:
        connection: Any = Connection.get_connection_from_secrets(conn_id)
        works, text = check_connection(connection, database)
    except AirflowNotFoundException as error:
        works, text = False, sanitize_text(f"{error}. {undefined(conn_id)}", 500)
    yield Finding("connection", "ok" if works else "failed", text)
    if works:
        with rest.Client(config_from_connection(connection, database, warn=False)) as client:
            for subject, find in (("version", _version), ("database", _database), ("privileges", _privileges)):
                try:
                    state, text = find(client, collection)
                except errors.MilvusError as error:
                    state, text = "failed", str(error)
                yield Finding(subject, state, text)
    yield Finding("triggerer", *_triggerer())


def _version(client: rest.Client, _: object) -> tuple[State, str]:
    missing = ""
    for version, path in VERSIONS:
        if isinstance(_refusal(client, Call(path, {}, parse_none)), errors.NoSuchEndpointError):
            missing = path
            continue
        # All current versions of Milvus can list users.
        without_users = (errors.NoSuchEndpointError, errors.UnsupportedError)
        if not missing and isinstance(_refusal(client, rest.users.list_()), without_users):
            return "ok", (
                f"the local server, which has no privileges of its own, inferred (it has {path}, and no users/list)"
            )
        if not missing:
            return "ok", f"Milvus {version} or later, inferred (it has {path})"
        return "ok", f"Milvus {version}, inferred (it has {path}, and no {missing})"
    return "warning", f"Milvus 2.4 or earlier, inferred (it has no {missing}): no flush"


def _refusal(client: rest.Client, call: Call[Any]) -> errors.MilvusError | None:
    """Make a call, and return the server's error; None if it succeeds."""
    try:
        client.send(call)
    except errors.MilvusError as error:
        if error.transient:
            raise
        return error
    return None


def _database(client: rest.Client, _: object) -> tuple[State, str]:
    name = client.config.database or DEFAULT_DATABASE
    try:
        names = client.send(rest.databases.list_())
    except errors.PermissionDeniedError as error:
        return "warning", f"{name}; databases cannot be listed: {error.message}"
    shown = ", ".join(sanitize_text(one, 100) for one in sorted(names)[:10])
    return "ok", f"{name}, of {len(names)}: {shown}{', …' if len(names) > 10 else ''}"


def _privileges(client: rest.Client, collection: str | None) -> tuple[State, str]:
    names = client.send(rest.collections.list_())
    name = collection or next(iter(names), None)
    if name is None:
        return "warning", "there is no collection to try them on"
    allowed: list[str] = []
    denied: list[str] = []
    for privilege, call in (
        ("DescribeCollection", rest.collections.describe(name)),
        ("GetLoadState", rest.collections.load_state(name)),
        ("GetStatistics", rest.collections.row_count(name)),
        ("IndexDetail", rest.indexes.list_(name)),
        ("ShowPartitions", rest.partitions.list_(name)),
        ("ListAliases", rest.aliases.list_(name)),
        ("Query", rest.entities.query(name, limit=1)),
    ):
        refusal = _refusal(client, call)
        if isinstance(refusal, errors.CollectionNotFoundError | errors.DatabaseNotFoundError):
            raise refusal
        # Other refusals have other reasons, such as a collection that is not loaded.
        (denied if isinstance(refusal, errors.PermissionDeniedError) else allowed).append(privilege)
    missing = f" Missing: {', '.join(denied)}." if denied else ""
    text = f"on {name}: {', '.join(allowed) or 'none'}.{missing} Calls that write were not tried"
    return "warning" if denied else "ok", text


def _triggerer() -> tuple[State, str]:
    problem = health.triggerer_problem()
    if problem is None:
        return "warning", "not known: Airflow's API server was not reached from here"
    if problem:
        return "warning", f"not alive ({problem}): tasks with deferrable=True would not resume"
    return "ok", "alive"
