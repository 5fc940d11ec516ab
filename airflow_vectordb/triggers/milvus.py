"""The one trigger: waits in the triggerer for any condition of ``airflow_vectordb.waiting``."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_vectordb import hooks, rest, waiting
from airflow_vectordb._compat import AirflowNotFoundException
from airflow_vectordb.hooks.connection_fields import DEFAULT_CONN_ID

if TYPE_CHECKING:
    from airflow_vectordb.rest import AsyncClient, MilvusConfig, Session
    from airflow_vectordb.rest.http.call import Call


class MilvusTrigger(BaseTrigger):
    """
    Waits until work in Milvus is done, has failed, or misses its deadline.

    It runs the same loop as a task that waits in its worker. All waits of a triggerer on a connection share an HTTP
    session, which the last of them closes. Deadline and start are absolute times, so a restarted triggerer continues
    the wait. Transient errors are warnings until the deadline; others end the wait immediately.

    It serializes the condition, the connection's id, and times: no host, no user, no token. The triggerer reads the
    Airflow connection when the wait begins there, and again when the server refuses its credentials.

    It changes nothing in Milvus. If a task is killed or cleared while it waits, the build continues.

    The event is ``{"status": "success", "result": …, "resume_kwargs": …}``, or ``{"status": "error"}`` and the error as
    :meth:`~airflow_vectordb.rest.errors.MilvusError.as_json` has it. :func:`result_from_event` reads it.

    :param condition: a condition of ``airflow_vectordb.waiting``, or the result of ``waiting.conditions.serialize``
    :param deadline: when to give up, a ``waiting.Deadline`` or a dict of its attributes
    :param poll_interval: seconds, the longest pause between two polls
    :param started: seconds since the epoch: when the wait began
    :param server_confirmed: whether Milvus has answered the task before, so that the connection is known to be right
    :param milvus_conn_id: id of an Airflow connection of type ``milvus``
    :param database: the database; None: the connection's
    :param resume_kwargs: returned in the event: what the task needs to continue, JSON-ready, since ``dag.test()``
        passes only the event to a resumed task
    :param reported: the progress that is already in the task's log, as ``waiting.Pending`` has it
    """

    def __init__(
        self,
        *,
        condition: waiting.Condition | dict[str, Any],
        deadline: waiting.Deadline | dict[str, Any],
        poll_interval: float,
        started: float,
        server_confirmed: bool = True,
        milvus_conn_id: str = DEFAULT_CONN_ID,
        database: str | None = None,
        resume_kwargs: dict[str, Any] | None = None,
        reported: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        try:
            self.condition = waiting.conditions.deserialize(condition) if isinstance(condition, dict) else condition
        except ValueError as error:
            # Any error but a TypeError here would end Airflow's triggerer, and all waits in it.
            raise TypeError(f"{error}; is the triggerer's airflow-vectordb older than the worker's?") from error
        self.deadline = waiting.Deadline(**deadline) if isinstance(deadline, dict) else deadline
        self.poll_interval = poll_interval
        self.started = started
        self.server_confirmed = server_confirmed
        self.milvus_conn_id = milvus_conn_id
        self.database = database
        self.resume_kwargs = resume_kwargs
        self.reported = [waiting.Progress(**item) for item in reported]

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return class path and arguments, JSON-ready."""
        return (
            "airflow_vectordb.triggers.milvus.MilvusTrigger",
            {
                "condition": waiting.conditions.serialize(self.condition),
                "deadline": asdict(self.deadline),
                "poll_interval": self.poll_interval,
                "started": self.started,
                "server_confirmed": self.server_confirmed,
                "milvus_conn_id": self.milvus_conn_id,
                "database": self.database,
                "resume_kwargs": self.resume_kwargs,
                "reported": [dict(item) for item in self.reported],
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait; then yield the one event."""
        event: dict[str, Any]
        try:
            result = await self._wait()
            event = {"status": "success", "result": result, "resume_kwargs": self.resume_kwargs}
        except rest.errors.MilvusError as error:
            event = {"status": "error", **error.as_json()}
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]

    async def _read_config(self) -> MilvusConfig:
        try:
            return await hooks.milvus.MilvusHook(self.milvus_conn_id, self.database, patient=True).aconfig()
        except AirflowNotFoundException as error:
            raise rest.errors.MilvusError(
                f"the triggerer finds no Airflow connection {self.milvus_conn_id!r}",
                transient=True,
                hint="Define it there, too. The triggerer does not have the workers' environment.",
            ) from error

    async def _wait(self) -> Any:
        config = await self._read_config()
        until = waiting.last_moment(self.deadline)
        steps = waiting.poll_until_done(
            self.condition,
            self.deadline,
            poll_interval=self.poll_interval,
            started=self.started,
            server_confirmed=self.server_confirmed,
            resumed=True,
            reported=self.reported,
        )
        write = self.log.log  # each lookup creates it
        client: AsyncClient

        def log(level: int, text: str) -> None:
            write(level, "%s", config.sanitize_text(text, rest.text.LONGEST_LINE))

        async def send(call: Call[Any]) -> Any:
            nonlocal client, config
            try:
                return await client.send(call, retries=0, until=until)
            except rest.errors.AuthenticationError:
                again = await self._read_config()
                if again == config:
                    raise
            # Tokens are replaced while tasks wait.
            config, client = again, await stack.enter_async_context(shared_client(again))
            log(logging.INFO, f"Connection {self.milvus_conn_id!r} has changed: its new credentials are used")
            return await client.send(call, retries=0, until=until)

        try:
            async with AsyncExitStack() as stack:
                client = await stack.enter_async_context(shared_client(config))
                return await rest.driver.adrive(steps, send, log)
        except rest.errors.MilvusError as error:  # the reason of a failed build comes from the server
            raise error.with_context(redact=config.redact) from error.__cause__


#: Of each event loop: the sessions, and how many waits use each.
_sessions: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[MilvusConfig, Session]] = WeakKeyDictionary()
_users: Counter[Session] = Counter()


@asynccontextmanager
async def shared_client(config: MilvusConfig) -> AsyncIterator[AsyncClient]:
    """
    Share this event loop's session for a server and a token; the last user closes it.

    :param config: where the calls go; configurations that differ only in the database share a session
    """
    sessions = _sessions.setdefault(asyncio.get_running_loop(), {})
    key = replace(config, database=None, retries=0)
    session = sessions.get(key)
    if session is None:
        session = sessions[key] = rest.Session(key)
    _users[session] += 1
    try:
        yield rest.AsyncClient(config, session=session)
    finally:
        _users[session] -= 1
        if not _users[session]:
            del _users[session], sessions[key]
            # Close the connections even if the wait is being cancelled.
            await asyncio.shield(session.close())


def result_from_event(event: Any) -> Any:
    """
    Read the event that a wait ended with.

    :param event: the payload of the :class:`MilvusTrigger`'s event
    :return: what the wait returned
    :raises MilvusError: the error that ended it
    :raises ValueError: for anything else, which does not count as the end of the wait
    """
    if isinstance(event, dict) and event.get("status") == "success" and isinstance(event.get("result"), list | dict):
        return event["result"]
    if isinstance(event, dict) and event.get("status") == "error":
        raise rest.errors.error_from(event)
    raise ValueError(f"not an event of MilvusTrigger: {repr(event)[:300]}")


__all__ = ["MilvusTrigger", "result_from_event", "shared_client"]
