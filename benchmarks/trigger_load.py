"""Many waits in one event loop, held as Airflow's triggerer holds them: what each costs.

One task for each, with a greenback portal where Airflow has one. What is missing is the triggerer's traffic with its
supervisor: nothing is logged.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import socket
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any, TypeVar

import aiohttp
import psutil
from airflow.triggers.base import BaseTrigger

from benchmarks.server import Server
from benchmarks.strategies import INDEX, OURS, PER_POLL, Strategy, define_connections, ours, strategies

T = TypeVar("T")
Portal = Callable[[], Awaitable[None]]

#: Polls of each wait, in two runs: what they have in common, as to begin and to end, is left out.
FEWER, MORE = 1, 5
#: Strategies that no budget needs have their turn once in so many rounds.
SELDOM = 8


@dataclass(frozen=True)
class Window:
    """What happened meanwhile: CPU time, requests that arrived, connections that were opened."""

    cpu: float
    polls: int
    opened: int

    @property
    def microseconds(self) -> float:
        """CPU time a poll."""
        return 1e6 * self.cpu / max(1, self.polls)


@dataclass(frozen=True)
class Load:
    """What many waits of ours did; ``late`` is the seconds from the end of each build until it was noticed."""

    kib: float
    window: Window
    sessions: int
    most_open: int
    late: list[float]
    left: int


def in_fresh_process(job: Callable[..., Coroutine[Any, Any, T]], server: Server, **arguments: Any) -> T:
    """Run a job of this module in a process of its own, so that memory and CPU are its alone."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_run_job, job, server, arguments).result()


def _run_job(job: Callable[..., Coroutine[Any, Any, T]], server: Server, arguments: dict[str, Any]) -> T:
    # What is measured is on this machine: a proxy has no part in it.
    os.environ |= {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    define_connections(server.url)
    server.reset(indexes=[INDEX])
    return asyncio.run(job(server, **arguments))


async def compare(server: Server, waits: int, poll_interval: float, rounds: int) -> dict[str, list[Window]]:
    """Measure all strategies in turns, forwards and backwards."""
    found: dict[str, list[Window]] = {}
    for number in range(rounds + 1):
        for name, strategy in [*strategies(server.url).items()][:: 1 if number % 2 else -1]:
            if number % SELDOM and name not in (OURS, PER_POLL):
                continue
            fewer, more = [
                await _until_built(server, [strategy(f"docs_{wait}", poll_interval) for wait in range(waits)], polls)
                for polls in (FEWER, MORE)
            ]
            window = Window(more.cpu - fewer.cpu, more.polls - fewer.polls, more.opened - fewer.opened)
            if number:
                found.setdefault(name, []).append(window)
    return found


async def _until_built(server: Server, triggers: Sequence[BaseTrigger], polls: int) -> Window:
    """Run waits to their end, at which each has polled so often: on a busy machine, too."""
    server.reset(indexes=[INDEX], polls=polls)
    gc.collect()
    began = time.process_time()
    await asyncio.gather(*await _start(triggers))
    cpu, counts = time.process_time() - began, server.counts()
    return Window(cpu, len(counts.requests), counts.opened)


async def memory(server: Server, name: str, waits: int, poll_interval: float) -> float:
    """Return the KiB a wait takes, by the name of its strategy, when each has polled at least once."""
    names = [f"docs_{wait}" for wait in range(waits)]
    tasks, kib = await _hold(strategies(server.url)[name], names, poll_interval)
    await _cancel(tasks)
    return kib


async def load(server: Server, waits: int, poll_interval: float, seconds: float) -> Load:
    """Hold many waits of ours for ``seconds``, and let them end within as many."""
    names = [f"docs_{wait}" for wait in range(waits)]
    tasks, kib = await _hold(ours, names, poll_interval)
    window = await _watch(server, seconds)
    sessions, most_open = _sessions(), server.counts().most_open
    now = time.time()
    built_at = {name: now + random.uniform(0.5, seconds) for name in names}
    server.reset(indexes=[INDEX], built_at=built_at)
    noticed = await asyncio.gather(*tasks)
    await asyncio.sleep(0.1)
    late = [moment - built_at[name] for name, moment in zip(names, noticed, strict=True)]
    return Load(kib, window, sessions, most_open, late, _sessions() + server.counts().open)


async def hang(server: Server, waits: int, timeout: float) -> list[float]:
    """Return how late waits of ours end that share a deadline, on a server that accepts and never answers."""
    first = await _start([ours("first", 0.2)])  # what it imports does not count
    await asyncio.sleep(1)
    await _cancel(first)
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        define_connections(f"http://127.0.0.1:{listener.getsockname()[1]}")
        deadline = time.time() + timeout
        triggers = [ours(f"docs_{wait}", 30.0, deadline - time.time()) for wait in range(waits)]

        async def ended(trigger: BaseTrigger) -> float:
            events = [event.payload async for event in trigger.run()]
            assert [event["status"] for event in events] == ["error"], events
            return time.time() - deadline

        return await asyncio.gather(*map(ended, triggers))


def _portal() -> Portal | None:
    # So does TriggerRunner.run_trigger: Airflow's "blocking" calls then work in a trigger, at a price.
    from airflow.jobs import triggerer_job_runner

    greenback = getattr(triggerer_job_runner, "greenback", None)
    return None if greenback is None else greenback.ensure_portal


async def _run(trigger: BaseTrigger, portal: Portal | None) -> float:
    """Run a trigger as Airflow does, until its event, and return when that was."""
    if portal is not None:
        await portal()
    events = [event.payload async for event in trigger.run()]
    if [event["status"] for event in events] != ["success"]:
        raise RuntimeError(f"the wait ended with {events}")
    return time.time()


async def _start(triggers: Sequence[BaseTrigger]) -> list[asyncio.Task[float]]:
    portal, tasks = _portal(), []
    for trigger in triggers:
        tasks.append(asyncio.create_task(_run(trigger, portal)))
        await asyncio.sleep(0)
    return tasks


async def _cancel(tasks: Sequence[asyncio.Task[float]]) -> None:
    for task in tasks:
        if task.done():
            task.result()  # none is, unless it failed
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _watch(server: Server, seconds: float) -> Window:
    before, began = server.counts(), time.process_time()
    await asyncio.sleep(seconds)
    cpu = time.process_time() - began
    after = server.counts()
    return Window(cpu, len(after.requests) - len(before.requests), after.opened - before.opened)


async def _hold(
    strategy: Strategy, names: Sequence[str], poll_interval: float
) -> tuple[list[asyncio.Task[float]], float]:
    # A few before: what the first one takes with it, modules for example, does not count with each.
    first = await _start([strategy(f"first_{name}", 0.2) for name in names[:20]])
    await asyncio.sleep(1)
    await _cancel(first)
    before = _rss()
    tasks = await _start([strategy(name, poll_interval) for name in names])
    await asyncio.sleep(poll_interval)
    return tasks, (_rss() - before) / 1024 / len(names)


def _rss() -> int:
    gc.collect()
    return int(psutil.Process().memory_info().rss)


def _sessions() -> int:
    return sum(isinstance(thing, aiohttp.ClientSession) and not thing.closed for thing in gc.get_objects())


__all__ = ["Load", "Window", "compare", "hang", "in_fresh_process", "load", "memory"]
