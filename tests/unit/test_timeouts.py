"""Time limits of requests in an event loop."""

from __future__ import annotations

import asyncio
import sys

import pytest

from airflow_vectordb.rest.http.async_client import TimeLimit

LONG, SHORT = 3600.0, 0.001


async def endless(seconds: float) -> None:
    with TimeLimit(seconds):
        await asyncio.Event().wait()


async def test_each_ends_by_its_own_limit() -> None:
    long = asyncio.create_task(endless(LONG))
    ends = await asyncio.gather(*(endless(n * SHORT) for n in range(5)), return_exceptions=True)
    assert {type(end) for end in ends} == {asyncio.TimeoutError}
    assert not long.done()
    long.cancel()
    with pytest.raises(asyncio.CancelledError):
        await long


async def test_what_ends_in_time_is_not_touched() -> None:
    with TimeLimit(SHORT):
        pass
    with pytest.raises(asyncio.TimeoutError):
        await endless(5 * SHORT)  # by then, the first one would have ended
    await asyncio.sleep(0)


async def test_after_its_limit_a_task_goes_on() -> None:
    with pytest.raises(asyncio.TimeoutError):
        await endless(SHORT)
    task = asyncio.current_task()
    assert task is not None
    if sys.version_info >= (3, 11):
        assert task.cancelling() == 0


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 does not count who has cancelled a task")
async def test_a_task_that_is_cancelled_as_its_limit_ends_stays_cancelled() -> None:
    limits: list[TimeLimit] = []

    async def limited() -> None:
        limits.append(TimeLimit(LONG))
        with limits[0]:
            await asyncio.Event().wait()

    task = asyncio.create_task(limited())
    await asyncio.sleep(0)
    limits[0].expire()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
