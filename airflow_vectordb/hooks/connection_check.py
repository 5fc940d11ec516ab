"""``airflow-vectordb check``: report on a connection, and whether tasks can use it, without changing anything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from airflow_vectordb import health, rest
from airflow_vectordb._compat import AirflowNotFoundException
from airflow_vectordb.hooks.connection import config_from_connection
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
    # Outside of tasks, only Airflow's own models also read its database.
    from airflow.models.connection import Connection

    try:
        connection: Any = Connection.get_connection_from_secrets(conn_id)
        works, text = check_connection(connection, database)
    except AirflowNotFoundException as error:
        works, text = False, sanitize_text(str(error), 500)
    yield Finding("connection", "ok" if works else "failed", text)
    if works:
        with rest.Client(config_from_connection(connection, database, warn=False)) as client:
            for subject, find in (("version", _version), ("database", _database), ("privileges", _privileges)):
                try:
                    state, text = find(client, collection)
                except errors.MilvusError as error:
                    state, text = "failed", str(error)
                yield Finding(subject, state, text)
    yield _triggerer()


def _version(client: rest.Client, _: object) -> tuple[State, str]:
    missing = ""
    for version, path in _VERSIONS:
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


def _triggerer() -> Finding:
    problem = health.triggerer_problem()
    if problem is None:
        return Finding("triggerer", "warning", "not known: Airflow's API server was not reached from here")
    if problem:
        return Finding("triggerer", "warning", f"not alive ({problem}): tasks with deferrable=True would not resume")
    return Finding("triggerer", "ok", "alive")
