"""Ways to wait for an index in the triggerer: this provider's, and what one would use instead.

Each is a trigger that looks until the server of :mod:`benchmarks.crowd.server` says that the index is built. The
alternatives do the least that one could get away with: they tell no error from another, log no progress, and have no
deadline.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Callable
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import aiohttp
import httpx
from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_vectordb.triggers.milvus import MilvusTrigger
from airflow_vectordb.waiting.conditions import IndexesBuilt
from airflow_vectordb.waiting.polling import Deadline
from benchmarks.crowd.server import INDEX, PREFIX

if TYPE_CHECKING:
    #: Makes the trigger that waits for a collection's index, with pauses up to a number of seconds.
    Way = Callable[[str, float], BaseTrigger]

CONN_ID = "milvus_crowd"
HTTP_CONN_ID = "http_crowd"
LOGIN, PASSWORD = "root", "Milvus12"
HEADERS = {"Content-Type": "application/json", "Authorization": f"Bearer {LOGIN}:{PASSWORD}"}
#: What brings HttpTrigger.
HTTP_PROVIDER = "apache-airflow-providers-http"
#: Seconds that the waits have waited when they begin here, so that the pause has grown to poll_interval.
AGE = 3600.0

OURS = "airflow_vectordb"
PER_POLL = "a session per poll (aiohttp)"
ALONE = "aiohttp alone, one session"
BARE = "a trigger that sleeps"


def connections(url: str) -> dict[str, dict[str, str]]:
    """
    Make the fields of the Airflow connections that the triggers ask for, by id.

    :param url: of the server
    """
    return {
        CONN_ID: {"conn_type": "milvus", "host": url, "login": LOGIN, "password": PASSWORD},
        HTTP_CONN_ID: {"conn_type": "http", "host": url},
    }


def pause(poll_interval: float) -> float:
    """
    Tell how long to pause, as ours does when the pause has grown as far as it does.

    :param poll_interval: seconds
    """
    return poll_interval * (0.8 + 0.2 * random.random())


def ours(collection: str, poll_interval: float, timeout: float = 86400.0) -> BaseTrigger:
    """
    Make a MilvusTrigger.

    :param collection: its name
    :param poll_interval: seconds
    :param timeout: seconds
    """
    now = time.time()
    deferred = MilvusTrigger(
        condition=IndexesBuilt(collection, (INDEX,)),
        deadline=Deadline(now + timeout, "timeout", timeout),
        poll_interval=poll_interval,
        started=now - AGE,
        milvus_conn_id=CONN_ID,
    )
    # By way of JSON, as through the metadata database: so waits share no more than they do in a triggerer.
    return MilvusTrigger(**json.loads(json.dumps(deferred.serialize()[1])))


class Bare(BaseTrigger):
    """Sleeps, and that is all: what any trigger costs."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return class path and arguments."""
        return f"{__name__}.Bare", {}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Sleep."""
        await asyncio.sleep(86400)
        yield TriggerEvent({"status": "done"})  # type: ignore[no-untyped-call]


class Looking(BaseTrigger):
    """
    Looks, and sleeps.

    :param ask: sends a request body, returns the body of the answer
    :param collection: name of the collection
    :param poll_interval: seconds
    """

    def __init__(self, ask: Callable[[bytes], Any], collection: str, poll_interval: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.ask = ask
        self.collection = collection
        self.poll_interval = poll_interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return class path and arguments."""
        return f"{__name__}.Looking", {"collection": self.collection, "poll_interval": self.poll_interval}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll until it is built."""
        await asyncio.sleep(self.poll_interval * random.random())
        request = json.dumps({"collectionName": self.collection, "indexName": INDEX}).encode()
        while True:
            if _is_built(await self.ask(request)):
                break
            await asyncio.sleep(pause(self.poll_interval))
        yield TriggerEvent({"status": "done"})  # type: ignore[no-untyped-call]


def _is_built(answer: bytes) -> bool:
    found = json.loads(answer)
    return all(item["indexState"] == "Finished" and item["pendingRows"] <= 0 for item in found["data"])


class Clients:
    """
    Clients to share, for an ``async with`` block, and the ways to use them.

    :param url: of the server
    """

    def __init__(self, url: str) -> None:
        self.url = f"{url}{PREFIX}indexes/describe"

    async def __aenter__(self) -> Clients:
        self._aiohttp = aiohttp.ClientSession()
        self._httpx = httpx.AsyncClient(timeout=60)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._aiohttp.close()
        await self._httpx.aclose()

    def ways(self) -> dict[str, Way]:
        """List the ways by name, ours first."""
        found: dict[str, Way] = {
            OURS: ours,
            PER_POLL: lambda *wait: Looking(self._per_poll, *wait),
            "httpx, one client": lambda *wait: Looking(self._with_httpx, *wait),
            ALONE: lambda *wait: Looking(self._with_aiohttp, *wait),
        }
        try:
            version(HTTP_PROVIDER)
        except PackageNotFoundError:
            return found
        from benchmarks.crowd import http_provider

        return found | {"HttpTrigger, in a loop": http_provider.looping, "HttpEventTrigger": http_provider.event}

    async def _with_aiohttp(self, body: bytes) -> bytes:
        async with self._aiohttp.post(self.url, data=body, headers=HEADERS) as answer:
            return await answer.read()

    async def _per_poll(self, body: bytes) -> bytes:
        async with aiohttp.ClientSession() as session, session.post(self.url, data=body, headers=HEADERS) as answer:
            return await answer.read()

    async def _with_httpx(self, body: bytes) -> bytes:
        return (await self._httpx.post(self.url, content=body, headers=HEADERS)).content


__all__ = [
    "ALONE",
    "BARE",
    "CONN_ID",
    "HTTP_PROVIDER",
    "OURS",
    "PER_POLL",
    "Bare",
    "Clients",
    "Looking",
    "connections",
    "ours",
]
