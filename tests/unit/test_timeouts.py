"""Time limits of requests, which have one timer together."""

from __future__ import annotations

import asyncio
import sys

import pytest

from airflow_vectordb.rest.http.timeouts import TimeLimit, Timeouts

LONG, SHORT = 3600.0, 0.001


async def endless(timeouts: Timeouts, seconds: float) -> None:
    with TimeLimit(timeouts, seconds):
        await asyncio.Event().wait()


async def test_the_shortest_limit_ends_first_whichever_began_first() -> None:
    timeouts = Timeouts()
    long = asyncio.create_task(endless(timeouts, LONG))
    await asyncio.sleep(0)
    for seconds in (SHORT, 0.0, SHORT):
        with pytest.raises(asyncio.TimeoutError):
            await endless(timeouts, seconds)
    assert not long.done()
    long.cancel()
    with pytest.raises(asyncio.CancelledError):
        await long
    assert not timeouts.running


async def test_a_limit_that_began_while_another_ran_ends_too() -> None:
    timeouts = Timeouts()
    ends = await asyncio.gather(*(endless(timeouts, n * SHORT) for n in range(1, 6)), return_exceptions=True)
    assert {type(end) for end in ends} == {asyncio.TimeoutError}
    with pytest.raises(asyncio.TimeoutError):  # the timer had been stopped meanwhile
        await endless(timeouts, SHORT)


async def test_what_ends_in_time_is_not_touched() -> None:
    timeouts = Timeouts()
    with TimeLimit(timeouts, SHORT):
        pass
    with pytest.raises(asyncio.TimeoutError):
        await endless(timeouts, 5 * SHORT)  # by then, the first one would have ended
    await asyncio.sleep(0)


async def test_after_its_limit_a_task_goes_on() -> None:
    with pytest.raises(asyncio.TimeoutError):
        await endless(Timeouts(), SHORT)
    task = asyncio.current_task()
    assert task is not None
    if sys.version_info >= (3, 11):
        assert task.cancelling() == 0


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 does not count who has cancelled a task")
async def test_a_task_that_is_cancelled_as_its_limit_ends_stays_cancelled() -> None:
    timeouts = Timeouts()
    task = asyncio.create_task(endless(timeouts, LONG))
    await asyncio.sleep(0)
    (limit,) = timeouts.running
    limit.expire()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
