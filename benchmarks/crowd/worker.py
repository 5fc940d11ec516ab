"""The process that holds the waits: ``python -m benchmarks.crowd.worker '{"job": …}'`` prints what it measured as JSON.

It holds them as Airflow's triggerer does: one task for each, in one event loop, with a greenback portal where Airflow
has one. What it does not have is the triggerer's traffic with its supervisor: nothing is logged, and the Airflow
connections are here, at no cost.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import aiohttp
from airflow.sdk import BaseHook, Connection
from airflow.triggers.base import BaseTrigger

from benchmarks.crowd import ways
from benchmarks.crowd.server import Server
from benchmarks.probe import MIB, rss

#: Seconds until waits that have begun look in their rhythm: the second look is behind each.
SETTLED = 1.6
#: Ways that no budget needs have their turn once in so many rounds.
REPORT_INTERVAL = 6


def _portal() -> Callable[[], Awaitable[None]] | None:
    # So does TriggerRunner.run_trigger: Airflow's "blocking" calls then work in a trigger, at a price.
    from airflow.jobs import triggerer_job_runner

    if not hasattr(triggerer_job_runner, "greenback"):
        return None
    ensure: Callable[[], Awaitable[None]] = triggerer_job_runner.greenback.ensure_portal
    return ensure


async def _run(trigger: BaseTrigger, portal: Callable[[], Awaitable[None]] | None) -> float:
    """Run a trigger as Airflow does, until its event, and tell when that was."""
    if portal is not None:
        await portal()
    events = [event.payload async for event in trigger.run()]
    now = time.time()
    if len(events) != 1 or events[0]["status"] not in ("done", "success"):
        raise RuntimeError(f"the wait ended with {events}")
    return now


async def _start(triggers: Sequence[BaseTrigger]) -> list[asyncio.Task[float]]:
    portal, tasks = _portal(), []
    for trigger in triggers:
        tasks.append(asyncio.create_task(_run(trigger, portal)))
        await asyncio.sleep(0)
    return tasks


async def _end(tasks: Sequence[asyncio.Task[float]]) -> None:
    for task in tasks:
        if task.done():
            task.result()  # none has, but for an error
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(frozen=True)
class Window:
    """What happened in some seconds."""

    cpu: float
    polls: int
    opened: int


async def _window(server: Server, seconds: float) -> Window:
    before, began = server.count(), time.process_time()
    await asyncio.sleep(seconds)
    cpu = time.process_time() - began
    after = server.count()
    return Window(cpu, after["requests"] - before["requests"], after["opened"] - before["opened"])


async def compare(server: Server, waits: int, poll_interval: float, seconds: float, rounds: int) -> dict[str, Any]:
    """
    Measure all ways, one after the other, again and again.

    :param server: the stub
    :param waits: how many there are at once
    :param poll_interval: seconds
    :param seconds: how long each is looked at, each time
    :param rounds: how often. One more round before does not count
    :return: by way, what happened in each round
    """
    found: dict[str, list[Any]] = {}
    for number in range(rounds + 1):
        async with ways.Clients(server.url) as clients:
            for name, way in clients.ways().items():
                if number % REPORT_INTERVAL and name not in (ways.OURS, ways.PER_POLL, ways.ALONE):
                    continue
                server.plan()
                gc.collect()
                tasks = await _start([way(f"docs_{wait}", poll_interval) for wait in range(waits)])
                await asyncio.sleep(SETTLED * poll_interval if number else 0.1)
                window = await _window(server, seconds if number else 2 * poll_interval)
                await _end(tasks)
                if number:
                    found.setdefault(name, []).append(asdict(window))
    return found


async def hold(server: Server, way: str, waits: int, poll_interval: float) -> dict[str, Any]:
    """
    Hold many waits, and look at the memory when each has looked at least once.

    :param server: the stub
    :param way: the way's name
    :param waits: how many
    :param poll_interval: seconds
    :return: what a wait takes
    """
    server.plan()
    async with ways.Clients(server.url) as clients:
        made = clients.ways() | {ways.BARE: lambda *wait: ways.Bare()}
        tasks, found = await _hold(server, made[way], [f"docs_{wait}" for wait in range(waits)], poll_interval)
        await _end(tasks)
    return found


async def _hold(
    server: Server, way: ways.Way, names: Sequence[str], poll_interval: float
) -> tuple[list[asyncio.Task[float]], dict[str, Any]]:
    # A few before: what the first one takes with it, modules for example, is not counted with each.
    first = await _start([way(f"first_{name}", 0.2) for name in names[:20]])
    await asyncio.sleep(1)
    await _end(first)
    gc.collect()
    before = rss()
    tasks = await _start([way(name, poll_interval) for name in names])
    await asyncio.sleep(poll_interval)
    gc.collect()
    return tasks, {"kib": (rss() - before) * MIB / 1024 / len(names)}


async def crowd(server: Server, waits: int, poll_interval: float, seconds: float) -> dict[str, Any]:
    """
    Hold many waits of ours, and let them end.

    :param server: the stub
    :param waits: how many
    :param poll_interval: seconds
    :param seconds: how long they are looked at before the first is done; and from the first build's end to the last's
    :return: what a wait and a look take, what is open, and how late each was noticed
    """
    server.plan()
    names = [f"docs_{wait}" for wait in range(waits)]
    tasks, found = await _hold(server, ways.ours, names, poll_interval)
    window = await _window(server, seconds)
    sessions, count = _sessions(), server.count()
    now = time.time()
    built_at = {name: now + random.uniform(0.5, seconds) for name in names}
    server.plan(built_at)
    noticed = await asyncio.gather(*tasks)
    await asyncio.sleep(0.1)
    return {
        **found,
        **asdict(window),
        "sessions": sessions,
        "most_open": count["most_open"],
        "late": [moment - built_at[name] for name, moment in zip(names, noticed, strict=True)],
        "left": _sessions() + server.count()["open"],
    }


async def hang(server: Server, waits: int, timeout: float) -> dict[str, Any]:
    """
    Let many waits of ours end at one deadline, on a server that takes connections and says nothing.

    :param server: the stub; another one hangs
    :param waits: how many
    :param timeout: seconds
    :return: how long after the deadline each has ended
    """
    server.plan()
    first = await _start([ways.ours("first", 0.2)])  # what it imports is not counted
    await asyncio.sleep(1)
    await _end(first)
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        _connections(f"http://127.0.0.1:{listener.getsockname()[1]}")
        deadline = time.time() + timeout
        triggers = [ways.ours(f"docs_{wait}", 30.0, deadline - time.time()) for wait in range(waits)]

        async def ended(trigger: BaseTrigger) -> float:
            async for _ in trigger.run():
                pass
            return time.time() - deadline

        return {"late": await asyncio.gather(*map(ended, triggers))}


def _connections(url: str) -> None:
    async def get(cls: type[BaseHook], conn_id: str) -> Connection:
        fields: dict[str, Any] = {**ways.connections(url)[conn_id]}
        return Connection(conn_id=conn_id, **fields)

    BaseHook.aget_connection = classmethod(get)  # type: ignore[assignment]


def _sessions() -> int:
    return sum(isinstance(thing, aiohttp.ClientSession) and not thing.closed for thing in gc.get_objects())


def main() -> None:
    """Do the job, and print what came of it."""
    arguments = json.loads(sys.argv[1])
    job, server = arguments.pop("job"), Server(arguments.pop("url"))
    # What is measured is on this machine: a proxy has no part in it.
    os.environ |= {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    _connections(server.url)
    jobs: dict[str, Callable[..., Coroutine[Any, Any, Any]]] = {
        "compare": compare,
        "hold": hold,
        "crowd": crowd,
        "hang": hang,
    }
    found = asyncio.run(jobs[job](server, **arguments))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
