"""Strategies to wait for an index in the triggerer: this provider's, and what one would use instead.

Each is a trigger that polls until the stub says that the index is built. The alternatives do the least that one could
get away with: no error handling, no progress in the log, no deadline.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
from airflow.providers.http.triggers.http import HttpEventTrigger
from airflow.sdk import BaseHook, Connection
from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_vectordb.triggers.milvus import MilvusTrigger
from airflow_vectordb.waiting import Deadline, IndexesBuilt
from benchmarks.built_check import is_built
from benchmarks.server import PREFIX

#: Makes the trigger that waits for a collection's index, with pauses up to a number of seconds.
Strategy = Callable[[str, float], BaseTrigger]

INDEX = {
    "fieldName": "vector",
    "indexName": "vector_hnsw",
    "indexType": "HNSW",
    "metricType": "COSINE",
    "params": {"M": 16, "efConstruction": 200},
}
HEADERS = {"Content-Type": "application/json", "Authorization": "Bearer root:Milvus12"}
#: Seconds that our waits have waited when they begin here, so that the pause has grown to poll_interval.
AGE = 3600.0

OURS = "airflow_vectordb"
PER_POLL = "a session per poll (aiohttp)"
HTTP_PROVIDER = "HttpEventTrigger"


def define_connections(url: str) -> None:
    """Define the Airflow connections that the triggers read, at no cost."""
    connections = {
        "milvus_bench": {"conn_type": "milvus", "host": url, "login": "root", "password": "Milvus12"},
        "http_bench": {"conn_type": "http", "host": url},
    }

    async def get(cls: type[BaseHook], conn_id: str) -> Connection:
        return Connection(conn_id=conn_id, **connections[conn_id])

    BaseHook.aget_connection = classmethod(get)  # type: ignore[assignment]


def ours(collection: str, poll_interval: float, timeout: float = 86400.0) -> BaseTrigger:
    """Make a MilvusTrigger."""
    now = time.time()
    trigger = MilvusTrigger(
        condition=IndexesBuilt(collection, (str(INDEX["indexName"]),)),
        deadline=Deadline(now + timeout, "timeout", timeout),
        poll_interval=poll_interval,
        started=now - AGE,
        milvus_conn_id="milvus_bench",
    )
    # By way of JSON, as through the metadata database: so waits share no more than they do in a triggerer.
    return MilvusTrigger(**json.loads(json.dumps(trigger.serialize()[1])))


class SessionPerPollTrigger(BaseTrigger):
    """Polls with a session of its own each time."""

    def __init__(self, url: str, collection: str, poll_interval: float) -> None:
        super().__init__()
        self.url = url
        self.collection = collection
        self.poll_interval = poll_interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return class path and arguments."""
        arguments = {"url": self.url, "collection": self.collection, "poll_interval": self.poll_interval}
        return f"{__name__}.SessionPerPollTrigger", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll until it is built."""
        await asyncio.sleep(self.poll_interval * random.random())
        body = _request(self.collection)
        while True:
            async with aiohttp.ClientSession() as session, session.post(self.url, data=body, headers=HEADERS) as answer:
                found = json.loads(await answer.read())["data"]
            if all(index["indexState"] == "Finished" and index["pendingRows"] <= 0 for index in found):
                break
            # As long as ours, when its pause has grown as far as it does.
            await asyncio.sleep(self.poll_interval * (0.8 + 0.2 * random.random()))
        yield TriggerEvent({"status": "success"})


class DelayedEventTrigger(HttpEventTrigger):
    """HttpEventTrigger, which begins at some moment within the interval, so that few poll together."""

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll until it is built."""
        await asyncio.sleep(self.poll_interval * random.random())
        async for event in super().run():
            yield event


def _http_provider(collection: str, poll_interval: float) -> BaseTrigger:
    return DelayedEventTrigger(
        f"{is_built.__module__}.{is_built.__name__}",
        http_conn_id="http_bench",
        method="POST",
        endpoint=f"{PREFIX}indexes/describe",
        headers=HEADERS,
        data=_request(collection),
        poll_interval=0.9 * poll_interval,  # fixed, and as long as the others' on average
    )


def _request(collection: str) -> str:
    return json.dumps({"collectionName": collection, "indexName": INDEX["indexName"]})


def strategies(url: str) -> dict[str, Strategy]:
    """Return the strategies by name, ours first."""
    return {
        OURS: ours,
        PER_POLL: lambda *wait: SessionPerPollTrigger(f"{url}{PREFIX}indexes/describe", *wait),
        HTTP_PROVIDER: _http_provider,
    }


__all__ = ["HTTP_PROVIDER", "INDEX", "OURS", "PER_POLL", "Strategy", "define_connections", "ours", "strategies"]
