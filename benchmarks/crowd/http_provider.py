"""Waiting with the triggers of Airflow's HTTP provider."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from typing import Any

from airflow.providers.http.triggers.http import (  # type: ignore[import-not-found, import-untyped, unused-ignore]
    HttpEventTrigger,
    HttpTrigger,
)
from airflow.triggers.base import BaseTrigger, TriggerEvent

from benchmarks.crowd import check
from benchmarks.crowd.server import INDEX, PREFIX
from benchmarks.crowd.ways import HEADERS, HTTP_CONN_ID, pause


class LoopingTrigger(HttpTrigger):  # type: ignore[misc, unused-ignore]  # not installed everywhere
    """
    Makes HttpTrigger's one request again and again.

    :param poll_interval: seconds
    :param arguments: HttpTrigger's
    """

    def __init__(self, poll_interval: float, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.poll_interval = poll_interval

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll until it is built."""
        await asyncio.sleep(self.poll_interval * random.random())
        hook = self._get_async_hook()
        while True:
            if await check.is_built(await self._get_response(hook)):
                break
            await asyncio.sleep(pause(self.poll_interval))
        yield TriggerEvent({"status": "done"})  # type: ignore[no-untyped-call]


class EventTrigger(HttpEventTrigger):  # type: ignore[misc, unused-ignore]
    """HttpEventTrigger, which begins at some moment within the interval, so that few look together."""

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll until it is built."""
        await asyncio.sleep(self.poll_interval * random.random())
        async for event in super().run():
            yield event


def _arguments(collection: str) -> dict[str, Any]:
    return {
        "http_conn_id": HTTP_CONN_ID,
        "method": "POST",
        "endpoint": f"{PREFIX}indexes/describe",
        "headers": HEADERS,
        "data": json.dumps({"collectionName": collection, "indexName": INDEX}),
    }


def looping(collection: str, poll_interval: float) -> BaseTrigger:
    """
    Make an HttpTrigger that polls.

    :param collection: its name
    :param poll_interval: seconds
    """
    trigger: BaseTrigger = LoopingTrigger(poll_interval, **_arguments(collection))
    return trigger


def event(collection: str, poll_interval: float) -> BaseTrigger:
    """
    Make an HttpEventTrigger, which polls by itself; at fixed intervals, here as long as the others' on average.

    :param collection: its name
    :param poll_interval: seconds
    """
    path = f"{check.__name__}.{check.is_built.__name__}"
    trigger: BaseTrigger = EventTrigger(path, poll_interval=0.9 * poll_interval, **_arguments(collection))
    return trigger


__all__ = ["event", "looping"]
