"""The one trigger: waits in the triggerer for anything in ``airflow_vectordb.waiting.conditions``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_vectordb import rest, waiting
from airflow_vectordb.hooks.connection_fields import DEFAULT_CONN_ID

if TYPE_CHECKING:
    from airflow_vectordb.rest.config import MilvusConfig
    from airflow_vectordb.rest.http.async_client import AsyncClient, Session
    from airflow_vectordb.waiting.conditions import Condition
    from airflow_vectordb.waiting.polling import Deadline


class MilvusTrigger(BaseTrigger):
    """
    Waits until something is done in Milvus, has failed, or is late.

    **How it works:** it drives the same logic as a task that waits in its worker: one poll after the other, with pauses
    that grow with the time waited, until the verdict is in. All waits of one triggerer on one connection share one HTTP
    session, which the last of them closes. Deadline and beginning are absolute times, so a restarted triggerer starts
    nothing over. Errors that may pass are warnings until the deadline; others end the wait at once.

    **What is serialized:** what is waited for, the connection's id, and times. No host, no user, no token.

    **What it does not do:** it changes nothing in Milvus. A task that is killed or cleared while it waits leaves the
    build going on.

    **Limits:** the triggerer must be able to read the Airflow connection; it is read once, when the wait begins there.

    The event is ``{"status": "success", "result": …, "resume": …}``, or ``{"status": "error"}`` and the error as
    :meth:`~airflow_vectordb.rest.errors.MilvusError.as_json` has it. :func:`result_from_event` reads it.

    :param condition: what is waited for: one of ``airflow_vectordb.waiting.conditions``, or what its ``serialize``
        returned
    :param deadline: when to give up, or the same as a dict: ``at`` (seconds since the epoch), ``because`` (which limit
        that is), ``seconds`` (how long it is)
    :param poll_interval: seconds, the longest pause between two polls
    :param started: seconds since the epoch: when the wait began
    :param server_confirmed: whether Milvus has answered the task before, so that the connection is known to lead to it
    :param milvus_conn_id: id of an Airflow connection of type ``milvus``
    :param database: the database; None: the connection's
    :param resume: comes back in the event: what the task needs to go on, JSON-ready. ``dag.test()`` gives a task that
        it resumes the event, and nothing else
    :param told: the progress that the task's log has already, as ``conditions.Pending`` has it
    """

    def __init__(
        self,
        *,
        condition: Condition | dict[str, Any],
        deadline: Deadline | dict[str, Any],
        poll_interval: float,
        started: float,
        server_confirmed: bool = True,
        milvus_conn_id: str = DEFAULT_CONN_ID,
        database: str | None = None,
        resume: dict[str, Any] | None = None,
        told: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        from airflow_vectordb.waiting.conditions import Progress, deserialize
        from airflow_vectordb.waiting.polling import Deadline

        super().__init__()  # type: ignore[no-untyped-call]
        try:
            self.condition = deserialize(condition) if isinstance(condition, dict) else condition
        except ValueError as error:
            # Anything but a TypeError here would end Airflow's triggerer, and with it all that waits there.
            raise TypeError(f"{error}; is the triggerer's airflow-vectordb older than the worker's?") from error
        self.deadline = Deadline(**deadline) if isinstance(deadline, dict) else deadline
        self.poll_interval = poll_interval
        self.started = started
        self.server_confirmed = server_confirmed
        self.milvus_conn_id = milvus_conn_id
        self.database = database
        self.resume = resume
        self.told = [Progress(**item) for item in told]

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return class path and arguments, JSON-ready."""
        from dataclasses import asdict

        from airflow_vectordb.waiting.conditions import serialize

        return (
            "airflow_vectordb.triggers.milvus.MilvusTrigger",
            {
                "condition": serialize(self.condition),
                "deadline": asdict(self.deadline),
                "poll_interval": self.poll_interval,
                "started": self.started,
                "server_confirmed": self.server_confirmed,
                "milvus_conn_id": self.milvus_conn_id,
                "database": self.database,
                "resume": self.resume,
                "told": [dict(item) for item in self.told],
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait; then yield the one event."""
        from airflow_vectordb.rest.errors import MilvusError

        event: dict[str, Any]
        try:
            config = await self._endpoint()
            try:
                async with shared_client(config) as client:
                    event = {"status": "success", "result": await self._poll_until_done(client), "resume": self.resume}
            except MilvusError as error:  # the reason of a failed build is the server's words
                raise error.with_context(redact=config.redact) from error.__cause__
        except MilvusError as error:
            event = {"status": "error", **error.as_json()}
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]

    async def _endpoint(self) -> MilvusConfig:
        from airflow_vectordb._compat import AirflowNotFoundException
        from airflow_vectordb.hooks.milvus import MilvusHook
        from airflow_vectordb.rest.errors import MilvusError

        try:
            return await MilvusHook(self.milvus_conn_id, self.database, patient=True).aconfig()
        except AirflowNotFoundException as error:
            raise MilvusError(
                f"the triggerer finds no Airflow connection {self.milvus_conn_id!r}",
                transient=True,
                hint="Define it there as for workers. What workers have in their environment is not there for it.",
            ) from error

    async def _poll_until_done(self, client: AsyncClient) -> Any:
        until = waiting.last_moment(self.deadline)
        steps = waiting.poll_until_done(
            self.condition,
            self.deadline,
            poll_interval=self.poll_interval,
            started=self.started,
            server_confirmed=self.server_confirmed,
            resumed=True,
            told=self.told,
        )

        def log(level: int, text: str) -> None:
            self.log.log(level, "%s", client.config.sanitize_text(text, rest.text.LONGEST_LINE))

        return await rest.driver.adrive(steps, lambda call: client.send(call, retries=0, until=until), log)


class _Shared:
    """A session and how many waits use it."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.users = 0


_sessions: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[MilvusConfig, _Shared]] = WeakKeyDictionary()


@asynccontextmanager
async def shared_client(config: MilvusConfig) -> AsyncIterator[AsyncClient]:
    """
    Use the one session that this event loop has for a server and a token; the last to leave closes it.

    :param config: where the calls go; endpoints that differ in nothing but the database share a session
    """
    from dataclasses import replace

    from airflow_vectordb.rest.http.async_client import AsyncClient, Session

    sessions = _sessions.setdefault(asyncio.get_running_loop(), {})
    key = replace(config, database=None, retries=0)
    shared = sessions.get(key)
    if shared is None:
        shared = sessions[key] = _Shared(Session(key))
    shared.users += 1
    try:
        yield AsyncClient(config, session=shared.session)
    finally:
        shared.users -= 1
        if shared.users == 0:
            del sessions[key]
            # The wait may be ending because it is cancelled, which must not keep the connections open.
            await asyncio.shield(shared.session.close())


def result_from_event(event: Any) -> Any:
    """
    Read the event that a wait ended with.

    :param event: the payload of the :class:`MilvusTrigger`'s event
    :return: what the wait returned
    :raises MilvusError: the error that ended it
    :raises ValueError: for anything else, which is not taken for an end of the wait
    """
    from airflow_vectordb.rest.errors import error_from

    if isinstance(event, dict) and event.get("status") == "success" and isinstance(event.get("result"), list | dict):
        return event["result"]
    if isinstance(event, dict) and event.get("status") == "error":
        raise error_from(event)
    raise ValueError(f"not an event of MilvusTrigger: {repr(event)[:300]}")


__all__ = ["MilvusTrigger", "result_from_event", "shared_client"]
