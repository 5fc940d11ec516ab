"""The one trigger: waits in the triggerer for anything in ``airflow_vectordb.waits``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_vectordb.hooks.connection_fields import DEFAULT_CONN_ID

if TYPE_CHECKING:
    from airflow_vectordb.rest.aclient import AsyncClient
    from airflow_vectordb.rest.endpoint import Endpoint
    from airflow_vectordb.waits import Deadline, Wait


class MilvusTrigger(BaseTrigger):
    """
    Waits until something is done in Milvus, has failed, or is late.

    **How it works:** it drives the same logic as a task that waits in its worker: one look after the other, with pauses
    that grow with the time waited, until the verdict is in. All waits of one triggerer on one connection share one HTTP
    session. Deadline and beginning are absolute times, so a restarted triggerer starts nothing over.

    **What is serialized:** what is waited for, the connection's id, and times. No host, no user, no token.

    **What it does not do:** it changes nothing in Milvus. A task that is killed or cleared while it waits leaves the
    build going on.

    The event is ``{"status": "done", "result": …}``, or ``{"status": "failed", "error": …, "message": …, "code": …,
    "transient": …}``.

    :param wait: what is waited for: one of ``airflow_vectordb.waits``, or what its ``serialize`` returned
    :param deadline: when to give up: seconds since the epoch, which limit it is, and how long it is
    :param poll_interval: seconds, the longest pause between two looks
    :param started: seconds since the epoch: when the wait began
    :param milvus_conn_id: id of an Airflow connection of type ``milvus``
    :param database: the database; None: the connection's
    """

    def __init__(
        self,
        *,
        wait: Wait | dict[str, Any],
        deadline: Deadline | dict[str, Any],
        poll_interval: float,
        started: float,
        milvus_conn_id: str = DEFAULT_CONN_ID,
        database: str | None = None,
    ) -> None:
        from airflow_vectordb.waits import Deadline, wait_from

        super().__init__()  # type: ignore[no-untyped-call]
        self.wait = wait_from(wait) if isinstance(wait, dict) else wait
        self.deadline = Deadline(**deadline) if isinstance(deadline, dict) else deadline
        self.poll_interval = poll_interval
        self.started = started
        self.milvus_conn_id = milvus_conn_id
        self.database = database

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return class path and arguments, JSON-ready."""
        from dataclasses import asdict

        return (
            "airflow_vectordb.triggers.milvus.MilvusTrigger",
            {
                "wait": self.wait.serialize(),
                "deadline": asdict(self.deadline),
                "poll_interval": self.poll_interval,
                "started": self.started,
                "milvus_conn_id": self.milvus_conn_id,
                "database": self.database,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait; then yield the one event."""
        from airflow_vectordb.hooks.milvus import MilvusHook
        from airflow_vectordb.rest.errors import MilvusError

        try:
            endpoint = await MilvusHook(self.milvus_conn_id, self.database).aendpoint()
            async with shared_client(endpoint) as client:
                result = await self._watch(client)
        except MilvusError as error:
            event = {
                "status": "failed",
                "error": type(error).__name__,
                "message": str(error),
                "code": error.code,
                "transient": error.transient,
            }
        else:
            event = {"status": "done", "result": result}
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]

    async def _watch(self, client: AsyncClient) -> Any:
        from airflow_vectordb.rest.errors import MilvusError
        from airflow_vectordb.waits import Nap, watch

        steps = watch(self.wait, self.deadline, poll_interval=self.poll_interval, started=self.started)
        try:
            step = next(steps)
            while True:
                if isinstance(step, Nap):
                    if step.text:
                        self.log.log(step.level, step.text)
                    await asyncio.sleep(step.seconds)
                    step = steps.send(None)
                    continue
                try:
                    outcome = await client.send(step, retries=0)
                except MilvusError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(outcome)
        except StopIteration as stop:
            return stop.value


class _Shared:
    """A client and how many waits use it."""

    def __init__(self, client: AsyncClient) -> None:
        self.client = client
        self.users = 0


_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Endpoint, _Shared]] = WeakKeyDictionary()


@asynccontextmanager
async def shared_client(endpoint: Endpoint) -> AsyncIterator[AsyncClient]:
    """
    Use the one client that this event loop has for an endpoint; the last to leave closes it.

    :param endpoint: where it leads to; another token or database is another endpoint
    """
    from airflow_vectordb.rest.aclient import AsyncClient

    clients = _clients.setdefault(asyncio.get_running_loop(), {})
    shared = clients.setdefault(endpoint, _Shared(AsyncClient(endpoint)))
    shared.users += 1
    try:
        yield shared.client
    finally:
        shared.users -= 1
        if shared.users == 0:
            del clients[endpoint]
            await asyncio.shield(shared.client.close())


__all__ = ["MilvusTrigger", "shared_client"]
