"""Generators of steps, and the two functions that drive them.

Logic without I/O is a generator: it yields the next step, receives its result or error, and finally returns or raises.
So it is written once, for tasks (sync) and the triggerer (async).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Generator
from typing import Any, NamedTuple, TypeVar

Step = TypeVar("Step")
T = TypeVar("T")


class Sleep(NamedTuple):
    """A pause before the next step, with a log line if there is something to report."""

    seconds: float
    level: int = logging.INFO
    text: str = ""


#: Writes a line to a log, given its level and text.
Log = Callable[[int, str], None]


def drive(steps: Generator[Step | Sleep, Any, T], perform: Callable[[Step], Any], log: Log) -> T:
    """
    Drive a generator of steps to its end, and return its result.

    :param perform: executes a step; its error is thrown into the generator
    """

    async def performed(step: Step) -> Any:
        return perform(step)

    async def sleep(seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251 - no event loop runs it

    try:
        # Nothing in it waits for an event loop, so it runs to its end immediately.
        adrive(steps, performed, log, sleep).send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    raise AssertionError("unreachable: a step has waited for an event loop")


async def adrive(
    steps: Generator[Step | Sleep, Any, T],
    perform: Callable[[Step], Awaitable[Any]],
    log: Log,
    sleep: Callable[[float], Awaitable[None]] | None = None,
) -> T:
    """Drive a generator of steps from an event loop; otherwise as :func:`drive`."""
    try:
        step = next(steps)
        while True:
            if isinstance(step, Sleep):
                if step.text:
                    log(step.level, step.text)
                await (sleep or asyncio.sleep)(step.seconds)
                step = steps.send(None)
                continue
            try:
                outcome = await perform(step)
            except Exception as error:  # noqa: BLE001 - the generator reraises what it does not handle
                step = steps.throw(error)
            else:
                step = steps.send(outcome)
                del outcome  # thousands of waits sleep without it
    except StopIteration as stop:
        result: T = stop.value
        return result
