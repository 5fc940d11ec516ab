"""A server that takes requests and gives no answer: waits end in time, and it is asked by one, not by all."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from airflow_vectordb._compat import AirflowException
from airflow_vectordb.rest import AsyncClient, MilvusConfig, errors, indexes
from airflow_vectordb.rest.http import async_client
from airflow_vectordb.rest.http.gate import Gate
from airflow_vectordb.sensors.milvus import IndexSensor
from airflow_vectordb.waiting.polling import Deadline
from tests.support.drivers import end_of, trigger_of
from tests.support.harness import Operating, Transport
from tests.support.scripted import Serve, Silent, ok

DESCRIBE = indexes.describe("docs", "vector")


@pytest.fixture
def hanging() -> Iterator[str]:
    """The URL of a server whose connections come about, since the system sees to that, and nothing else."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_hundreds_of_waits_end_in_time(hanging: str, operating: Operating) -> None:
    operating.connect(hanging, extra={"timeout": 30})
    late: list[float] = []

    async def wait(deadline: Deadline) -> str:
        event = await end_of(trigger_of(deadline=deadline, poll_interval=2.0))
        late.append(time.time() - deadline.at)
        assert "not done within 3 s (timeout)" in event["message"]
        return str(event["error"])

    async def main() -> set[str]:
        await end_of(trigger_of(deadline=Deadline(time.time(), "timeout", 0.0)))  # all imported
        began = time.time()
        waits = [asyncio.ensure_future(wait(Deadline(began + 3.0, "timeout", 3.0))) for _ in range(300)]
        return set(await asyncio.gather(*waits))

    assert asyncio.run(main()) == {"WaitTimeoutError"}
    assert len(late) == 300
    assert min(late) > -0.1
    assert max(late) < 20  # none waits for the time-out; how late exactly, benchmarks measure


def test_a_worker_ends_in_time(hanging: str, operating: Operating) -> None:
    operating.connect(hanging, extra={"timeout": 30})
    began = time.monotonic()
    with pytest.raises(AirflowException, match="no answer before the deadline"):
        operating.execute(sensor(timeout=0.5))
    assert 0.5 <= time.monotonic() - began < 20


def sensor(timeout: float) -> IndexSensor:
    return IndexSensor(task_id="index", collection_name="docs", index_name="vector", timeout=timeout)


def test_the_last_look_of_each_client(hanging: str, transport: Transport) -> None:
    began = time.monotonic()
    found = transport.fail(MilvusConfig(hanging, retries=0), DESCRIBE, until=began + 0.3)
    assert type(found) is errors.AnswerTimeoutError
    assert found.message == "no answer before the deadline"
    assert 0.3 <= time.monotonic() - began < 20


def test_one_asks_for_all_while_the_server_hangs(
    serve: Serve, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(async_client, "MOST_CONNECTIONS", 5)
    hangs = True
    server = serve(lambda request: Silent() if hangs else ok([{"indexName": "vector", "fieldName": "vector"}]))

    async def main() -> None:
        nonlocal hangs
        async with AsyncClient(MilvusConfig(server.url, timeout=3, retries=0)) as client:

            async def outcomes(number: int) -> Counter[str]:
                calls = (client.send(DESCRIBE) for _ in range(number))
                found = await asyncio.gather(*calls, return_exceptions=True)
                return Counter(str(getattr(one, "message", "answered")) for one in found)

            turned_away = "the server hangs: a call before this one got no answer"
            assert await outcomes(30) == {"no answer within 3 s": 5, turned_away: 25}
            assert server.received(5)
            assert await outcomes(30) == {"no answer within 3 s": 1, turned_away: 29}
            assert server.received(6)
            hangs = False
            assert await outcomes(30) == {"answered": 30}
            assert await outcomes(30) == {"answered": 30}

    asyncio.run(main())


# The gate itself ----------------------------------------------------------------------------------------------------


async def entering(gate: Gate, number: int, until: float | None = None) -> list[asyncio.Task[None]]:
    tasks = [asyncio.ensure_future(gate.enter(until)) for _ in range(number)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


def inside(tasks: list[asyncio.Task[None]]) -> int:
    return sum(task.done() and not task.cancelled() and task.exception() is None for task in tasks)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_so_many_at_once() -> None:
    gate = Gate(3)
    tasks = await entering(gate, 10)
    for left in range(8):
        assert inside(tasks) == 3 + left if left < 8 else 10
        gate.leave(True)
        await settle()
    assert inside(tasks) == 10


async def test_those_whose_deadline_comes_are_gone() -> None:
    gate = Gate(1)
    first = await entering(gate, 1)
    tasks = await entering(gate, 5, time.monotonic() + 0.05)
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(one) for one in found} == {errors.ConnectError}
    assert "any of 1 connections" in str(found[0])
    gate.leave(True)
    assert inside(first + await entering(gate, 5)) == 2  # and take no place


@pytest.mark.parametrize("answered", [True, None])
async def test_those_that_are_cancelled_are_gone(answered: bool | None) -> None:
    gate = Gate(1)
    await entering(gate, 1)
    tasks = await entering(gate, 3)
    tasks[0].cancel()
    await settle()
    gate.leave(answered)
    tasks[1].cancel()  # whose turn has just come
    await settle()
    assert [task.cancelled() for task in tasks] == [True, True, False]
    assert inside(tasks) == 1


async def test_one_alone_until_one_is_answered() -> None:
    gate = Gate(4)
    await entering(gate, 4)
    queue = await entering(gate, 3)
    gate.leave(False)
    await settle()
    assert {type(task.exception()) for task in queue} == {errors.ConnectError}
    later = await entering(gate, 6)
    assert inside(later) == 0  # three are still there
    gate.leave(False)
    assert inside(later) == 0
    await settle()
    assert all(isinstance(task.exception(), errors.ConnectError) for task in later)
    last = await entering(gate, 6)
    gate.leave(None)
    await settle()
    assert inside(last) == 0
    gate.leave(None)  # cut short, which says nothing
    await settle()
    assert inside(last) == 1
    gate.leave(True)
    await settle()
    assert inside(last) == 5
