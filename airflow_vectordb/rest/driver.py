"""Generators of steps, and the two functions that drive them.

What can be decided without I/O is a generator: it yields what is to be done next, is sent the result or thrown the
error, and returns or raises in the end. So it is written once, for tasks (sync) and for the triggerer (async).
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
    """A time to sleep before the next step, with a line for the log if there is something new to say."""

    seconds: float
    level: int = logging.INFO
    text: str = ""


#: Writes a line to a log, given its level and text.
Log = Callable[[int, str], None]


def drive(steps: Generator[Step | Sleep, Any, T], perform: Callable[[Step], Any], log: Log) -> T:
    """
    Drive a generator of steps to its end, and return what it returns.

    :param perform: does what a step says; its error is thrown into the generator
    """
    try:
        step = next(steps)
        while True:
            if isinstance(step, Sleep):
                if step.text:
                    log(step.level, step.text)
                time.sleep(step.seconds)
                step = steps.send(None)
                continue
            try:
                outcome = perform(step)
            except Exception as error:  # noqa: BLE001 - the generator raises what it does not handle
                step = steps.throw(error)
            else:
                step = steps.send(outcome)
    except StopIteration as stop:
        result: T = stop.value
        return result


async def adrive(steps: Generator[Step | Sleep, Any, T], perform: Callable[[Step], Awaitable[Any]], log: Log) -> T:
    """Drive a generator of steps from an event loop; otherwise as :func:`drive`."""
    try:
        step = next(steps)
        while True:
            if isinstance(step, Sleep):
                if step.text:
                    log(step.level, step.text)
                await asyncio.sleep(step.seconds)
                step = steps.send(None)
                continue
            try:
                outcome = await perform(step)
            except Exception as error:  # noqa: BLE001 - the generator raises what it does not handle
                step = steps.throw(error)
            else:
                step = steps.send(outcome)
    except StopIteration as stop:
        result: T = stop.value
        return result
