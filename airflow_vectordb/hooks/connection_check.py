"""``airflow-vectordb check``: report on a connection, and whether tasks can use it, without changing anything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from airflow_vectordb import health, rest
from airflow_vectordb._compat import AirflowNotFoundException
from airflow_vectordb.hooks.connection import AnyConnection, config_from_connection
from airflow_vectordb.hooks.connection_test import check_connection
from airflow_vectordb.rest import DEFAULT_DATABASE, errors
from airflow_vectordb.rest.http.call import Call, parse_none
from airflow_vectordb.rest.text import sanitize_text

State = Literal["ok", "warning", "failed"]

#: Paths that a version introduced, the latest first. They are called without a required name, so they have no effect.
_VERSIONS = (
    ("3.0", "collections/truncate"),
    ("2.6", "collections/fields/add"),
    ("2.5", "collections/flush"),
)


@dataclass(frozen=True)
class Finding:
    """A line of the report; only ``failed`` makes the check fail."""

    subject: str
    state: State
    text: str

    def __str__(self) -> str:
        return f"{self.subject:<11} {self.state:<8} {self.text}"


def check(conn_id: str, database: str | None = None, collection: str | None = None) -> Iterator[Finding]:
    """
    Check a connection, and yield each finding immediately.

    :param database: instead of the connection's; None: that one
    :param collection: the collection to try privileges on; None: any
    """
    try:
        connection = _read(conn_id)
    except AirflowNotFoundException as error:
        yield Finding("connection", "failed", sanitize_text(str(error), 500))
        yield _triggerer()
        return
    works, text = check_connection(connection, database)
    yield Finding("connection", "ok" if works else "failed", text)
    if works:
        config = config_from_connection(connection, database, warn=False)
        with rest.Client(config) as client:
            yield _guarded("version", lambda: _version(client))
            yield _guarded("database", lambda: _database(client, config.database or DEFAULT_DATABASE))
            yield _guarded("privileges", lambda: _privileges(client, collection))
    yield _triggerer()


def _read(conn_id: str) -> AnyConnection:
    # Outside of tasks, only Airflow's own models also read its database.
    from airflow.models.connection import Connection

    found: Any = Connection.get_connection_from_secrets(conn_id)
    return found  # type: ignore[no-any-return]


def _guarded(subject: str, find: Any) -> Finding:
    try:
        found: Finding = find()
    except errors.MilvusError as error:
        return Finding(subject, "failed", str(error))
    return found


def _version(client: rest.Client) -> Finding:
    missing = ""
    for version, path in _VERSIONS:
        if isinstance(_refusal(client, Call(path, {}, parse_none)), errors.NoSuchEndpointError):
            missing = path
            continue
        # All current versions of Milvus can list users.
        without_users = (errors.NoSuchEndpointError, errors.UnsupportedError)
        if not missing and isinstance(_refusal(client, rest.users.list_()), without_users):
            text = f"the local server, which has no privileges of its own, inferred (it has {path}, and no users/list)"
            return Finding("version", "ok", text)
        later = "" if missing else " or later"
        reason = f"it has {path}" + (f", and no {missing}" if missing else "")
        return Finding("version", "ok", f"Milvus {version}{later}, inferred ({reason})")
    return Finding("version", "warning", f"Milvus 2.4 or earlier, inferred (it has no {missing}): no flush")


def _refusal(client: rest.Client, call: Call[Any]) -> errors.MilvusError | None:
    """Make a call, and return the server's error; None if it succeeds."""
    try:
        client.send(call)
    except errors.MilvusError as error:
        if error.transient:
            raise
        return error
    return None


def _database(client: rest.Client, name: str) -> Finding:
    try:
        names = client.send(rest.databases.list_())
    except errors.PermissionDeniedError as error:
        return Finding("database", "warning", f"{name}; databases cannot be listed: {error.message}")
    shown = ", ".join(sanitize_text(one, 100) for one in sorted(names)[:10])
    return Finding("database", "ok", f"{name}, of {len(names)}: {shown}{', …' if len(names) > 10 else ''}")


def _privileges(client: rest.Client, collection: str | None) -> Finding:
    names = client.send(rest.collections.list_())
    name = collection or next(iter(names), None)
    if name is None:
        return Finding("privileges", "warning", "there is no collection to try them on")
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
    return Finding("privileges", "warning" if denied else "ok", text)


def _triggerer() -> Finding:
    problem = health.triggerer_problem()
    if problem is None:
        return Finding("triggerer", "warning", "not known: Airflow's API server was not reached from here")
    if problem:
        return Finding("triggerer", "warning", f"not alive ({problem}): tasks with deferrable=True would not resume")
    return Finding("triggerer", "ok", "alive")
