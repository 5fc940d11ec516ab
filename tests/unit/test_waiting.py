"""Waiting for a build: it ends when, and only when, the index is built, whatever the server says on the way."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from airflow_vectordb._compat import AirflowException, AirflowFailException
from tests.support.fake_milvus import BUILT, FakeMilvus, rows, told
from tests.support.harness import HNSW, Clock, Logged, Looks, Operating
from tests.support.scripted import Answer, Behaviour, CutOff, ScriptedServer, Serve, error, ok, page


def looks(server: ScriptedServer) -> int:
    return server.paths.count("indexes/describe")


@pytest.mark.parametrize("state", ["IndexStateNone", "Unissued", "InProgress", "Retry", "", "SomethingNew"])
def test_only_finished_is_finished(state: str, serve: Serve, operating: Operating, clock: Clock) -> None:
    server = serve(FakeMilvus(progress=told(*[rows(0, state)] * 5, BUILT)))
    operating.create(server)
    assert looks(server) == 6


def test_a_server_that_does_not_count_what_is_pending(serve: Serve, operating: Operating, clock: Clock) -> None:
    def counted(indexed: int) -> dict[str, Any]:
        return {**rows(0, "Finished", indexed=indexed), "pendingRows": None}

    server = serve(FakeMilvus(progress=told(counted(0), counted(99_999), counted(100_000))))
    operating.create(server)
    assert looks(server) == 3


@pytest.mark.parametrize("numbers", [str, int])
def test_numbers_may_come_as_texts(
    numbers: Callable[[int], Any], serve: Serve, operating: Operating, clock: Clock
) -> None:
    def spelt(pending: int, state: str) -> dict[str, Any]:
        return {key: numbers(v) if isinstance(v, int) else v for key, v in rows(pending, state).items()}

    server = serve(FakeMilvus(progress=told(spelt(100, "Finished"), spelt(0, "Finished"))))

    (index,) = operating.create(server)

    assert looks(server) == 2
    assert index["total_rows"] == 100_000


@pytest.mark.parametrize("state", ["Finished", "IndexStateNone", "Unissued"])
def test_an_empty_collection_is_built_at_once(state: str, serve: Serve, operating: Operating, clock: Clock) -> None:
    server = serve(FakeMilvus(rows=0, progress=told(rows(0, state, total=0))))

    operating.create(server)

    assert looks(server) <= 2
    assert clock.elapsed < 1


def test_rows_that_the_server_has_not_counted_yet(serve: Serve, operating: Operating, clock: Clock) -> None:
    server = serve(FakeMilvus(rows=500, progress=told(*[rows(0, "Unissued", total=0)] * 3, rows(500), BUILT)))
    operating.create(server)
    assert looks(server) == 5


def test_all_of_several_indexes(serve: Serve, operating: Operating, clock: Clock) -> None:
    def progress(name: str) -> dict[str, Any]:
        ends = {"vector": 60, "label": 20}[name]
        return BUILT if clock.elapsed >= ends else rows(1000)

    server = serve(FakeMilvus(progress=progress))

    result = operating.create(server, [HNSW, {"fieldName": "label"}], poll_interval=5)

    assert 60 <= clock.elapsed <= 66
    assert [(index["index_name"], index["pending_rows"]) for index in result] == [("vector", 0), ("label", 0)]


def test_not_waiting(serve: Serve, operating: Operating, clock: Clock) -> None:
    server = serve(FakeMilvus(progress=told(rows(100_000))))

    (index,) = operating.create(server, wait_for_completion=False)

    assert (looks(server), clock.naps) == (1, [])
    assert index["pending_rows"] == 100_000


def test_progress_is_told(serve: Serve, operating: Operating, clock: Clock, logged: Logged) -> None:
    server = serve(FakeMilvus(progress=lambda name: rows(max(0, 50_000 - int(clock.elapsed * 1000)), total=50_000)))

    with pytest.raises(AirflowException):
        operating.create(server, timeout=45)

    lines = [line for line in logged.of("info") if "of 50,000 rows (" in line and " left" in line]
    assert len(lines) > 5
    assert all(line.startswith("docs/vector: ") for line in lines)
    assert any("s left" in line for line in lines)


# Ends that are none -------------------------------------------------------------------------------------------------


def test_a_build_that_fails_immediately(serve: Serve, operating: Operating, clock: Clock) -> None:
    failed = {**rows(100, "Failed"), "failReason": "not enough disk"}
    server = serve(FakeMilvus(progress=told(failed)))

    with pytest.raises(AirflowFailException) as caught:
        operating.create(server)

    assert looks(server) == 1
    for word in ("task index", "'vector'", "'docs'", "not enough disk", "DropIndexOperator", server.url):
        assert word in str(caught.value)


def test_a_build_that_fails_without_a_reason(serve: Serve, operating: Operating, clock: Clock) -> None:
    server = serve(FakeMilvus(progress=told(rows(100, "Failed"))))
    with pytest.raises(AirflowFailException, match="no reason"):
        operating.create(server)


def test_a_long_reason_stays_readable(serve: Serve, operating: Operating, clock: Clock) -> None:
    failed = {**rows(1, "Failed"), "failReason": "panic:\x1b[31m %s {x}\n" + "goroutine 1 [running]:\n" * 10_000}
    server = serve(FakeMilvus(progress=told(failed)))

    with pytest.raises(AirflowFailException, match=r"%s \{x\}") as caught:
        operating.create(server)

    assert len(str(caught.value)) < 3000
    assert str(caught.value).isprintable()


def test_an_index_that_is_being_dropped(serve: Serve, operating: Operating, clock: Clock) -> None:
    server = serve(FakeMilvus(progress=told(rows(100), rows(100, "Deleted"))))
    with pytest.raises(AirflowFailException, match="dropped"):
        operating.create(server)
    assert looks(server) == 2


# Outages ------------------------------------------------------------------------------------------------------------

#: Beside those of test_lying_servers.
PASSING: dict[str, Behaviour] = {
    "half of a JSON": Answer('{"code": 0, "data": [{'),
    "rows without a number": ok([{"indexName": "vector", "fieldName": "vector", "totalRows": "many"}]),
    "404": page(404),
    "rate limit": error(1807, "slow down"),
    "not ready": error(1, "starting"),
    "closed": CutOff(b""),
    "retry at once": page(503, Retry_After="0"),
    "retry in the past": page(429, Retry_After="-7"),
}


@pytest.mark.parametrize("case", PASSING)
def test_what_comes_between_good_answers_passes(
    case: str, serve: Serve, operating: Operating, clock: Clock, logged: Logged
) -> None:
    bad = PASSING[case]
    milvus = FakeMilvus(progress=told(rows(500), rows(300), rows(100), BUILT))
    milvus.faults["indexes/describe"] = [None, bad, bad, None, bad]
    server = serve(milvus)

    (index,) = operating.create(server)

    assert index["pending_rows"] == 0
    assert looks(server) == 4 + 3  # no retries but the next poll
    assert len(clock.naps) == 6
    assert min(clock.naps) >= 0.4
    assert any("still waiting for index 'vector' of collection 'docs'" in line for line in logged.of("warning"))
    assert any("answers again" in line for line in logged.of("info"))


@pytest.mark.parametrize("case", PASSING)
def test_what_does_not_pass_is_no_busy_loop(case: str, serve: Serve, operating: Operating, clock: Clock) -> None:
    def answer(elapsed: float) -> Behaviour | None:
        return PASSING[case] if elapsed else None

    seen = Looks(clock, FakeMilvus(progress=told(rows(500))), answer)

    with pytest.raises(AirflowException, match=r"5 min \(timeout\)") as caught:
        operating.create(serve(seen), timeout=300)

    assert not isinstance(caught.value, AirflowFailException)
    assert "the last error was" in str(caught.value)
    assert 300 <= clock.elapsed < 301
    assert min(seen.gaps[:-1]) >= 0.4 - 1e-6
    assert seen.gaps[-1] >= 0.1 - 1e-6
    assert len(seen.times) < 100


@pytest.mark.parametrize(("asked", "least", "most"), [("20", 20, 20), ("60", 60, 60), ("86400", 10, 60)])
def test_retry_after_within_a_wait(
    asked: str, least: float, most: float, serve: Serve, operating: Operating, clock: Clock
) -> None:
    milvus = FakeMilvus(progress=told(rows(500), BUILT))
    milvus.faults["indexes/describe"] = [None, page(429, Retry_After=asked)]

    operating.create(serve(milvus), poll_interval=10)

    assert len(clock.naps) == 2
    assert least <= clock.naps[1] <= most


# How often it polls, how late it notices, and when it gives up ----------------------------------------------------

HOUR = 3600.0
PENDING = {"indexState": "InProgress", "totalRows": 50_000, "indexedRows": 20_000, "pendingRows": 30_000}


def build_of(seconds: float, clock: Clock) -> FakeMilvus:
    return FakeMilvus(progress=lambda name: {} if clock.elapsed >= seconds else PENDING)


@pytest.mark.parametrize("seconds", [0.3, 1, 7, 30, 600, 10 * HOUR])
def test_few_looks_and_none_late(seconds: float, serve: Serve, operating: Operating, clock: Clock) -> None:
    seen = Looks(clock, build_of(seconds, clock))

    operating.create(serve(seen), poll_interval=30)

    late = clock.elapsed - seconds
    assert -1e-6 <= late <= max(1.0, min(30.0, 0.1 * seconds)) + 1e-6
    # First they are 0.4 to 0.5 s apart, then at least 6% of the time so far, in the end 24 to 30 s.
    growing = math.log(min(max(seconds, 6.0), 375.0) / 6.0) / math.log(1.06)
    assert len(seen.times) <= 4 + min(seconds, 6.0) / 0.4 + growing + max(0.0, seconds - 375.0) / 24.0
    assert min(seen.gaps) >= 0.4 - 1e-6
    for since, gap in zip(seen.times, seen.gaps, strict=False):  # no build would have been noticed later than that
        assert gap <= min(30.0, max(1.0, 0.1 * since)) + 1e-6


@pytest.mark.parametrize("poll_interval", [0.1, 0.2, 2.0, 30.0, 300.0])
def test_the_poll_interval_is_the_longest_pause(
    poll_interval: float, serve: Serve, operating: Operating, clock: Clock
) -> None:
    seconds = min(poll_interval * 40, HOUR)
    seen = Looks(clock, build_of(seconds, clock))

    operating.create(serve(seen), poll_interval=poll_interval)

    assert max(seen.gaps) <= poll_interval + 1e-6
    assert min(seen.gaps) >= 0.8 * min(poll_interval, 0.5) - 1e-6
    assert -1e-6 <= clock.elapsed - seconds <= poll_interval + 1e-6


def test_waits_that_begin_together_do_not_look_together(serve: Serve, operating: Operating, clock: Clock) -> None:
    seen = Looks(clock, build_of(900, clock))
    operating.create(serve(seen), poll_interval=10)
    full = [gap for since, gap in zip(seen.times, seen.gaps, strict=False) if since > 200]
    assert 8.0 - 1e-6 <= min(full) < 8.7 < 9.3 < max(full) <= 10.0 + 1e-6


@pytest.mark.parametrize(
    ("arguments", "limit", "words"),
    [
        ({"timeout": 600}, 600, ["10 min", "timeout"]),
        ({"timeout": timedelta(hours=3)}, 3 * HOUR, ["3 h", "timeout"]),
        ({"timeout": 90.0, "execution_timeout": timedelta(hours=1)}, 90, ["1 min 30 s", "timeout"]),
        # A little earlier than Airflow's own alarm, whose message says nothing of the index.
        ({"execution_timeout": timedelta(minutes=20)}, 1199, ["20 min", "execution_timeout"]),
        ({}, 24 * HOUR, ["1 day"]),
    ],
)
def test_the_deadline(
    arguments: dict[str, Any], limit: float, words: list[str], serve: Serve, operating: Operating, clock: Clock
) -> None:
    seen = Looks(clock, build_of(math.inf, clock))

    with pytest.raises(AirflowException) as caught:
        operating.create(serve(seen), poll_interval=600, **arguments)

    assert not isinstance(caught.value, AirflowFailException)  # Airflow's retries wait on
    for word in ("task index", "'vector'", "'docs'", "20,000 of 50,000 rows (40%)", *words):
        assert word in str(caught.value)
    assert limit <= clock.elapsed <= limit + 0.5
    assert seen.times[-1] == pytest.approx(clock.elapsed)  # a last poll before giving up
    assert min(seen.gaps[:-1]) >= 0.4 - 1e-6


def test_the_deadline_within_an_outage(serve: Serve, operating: Operating, clock: Clock) -> None:
    def answer(elapsed: float) -> Behaviour | None:
        return page(503, "Down for maintenance") if elapsed > 60 else None

    seen = Looks(clock, build_of(math.inf, clock), answer)

    with pytest.raises(AirflowException, match=r"(?s)10 min \(timeout\).*Down for maintenance") as caught:
        operating.create(serve(seen), timeout=600)

    assert not isinstance(caught.value, AirflowFailException)
    assert clock.elapsed < 601


def test_a_wait_that_is_done_at_its_deadline(serve: Serve, operating: Operating, clock: Clock) -> None:
    seen = Looks(clock, build_of(59.9, clock))
    (index,) = operating.create(serve(seen), timeout=60, poll_interval=300)
    assert index["state"] == "Finished"


def test_hardly_any_time(serve: Serve, operating: Operating, clock: Clock) -> None:
    seen = Looks(clock, build_of(10, clock))
    with pytest.raises(AirflowException, match="timeout"):
        operating.create(serve(seen), timeout=0.001)
    assert clock.elapsed < 1


def test_one_connection_for_hours(serve: Serve, operating: Operating, clock: Clock) -> None:
    server = serve(Looks(clock, build_of(HOUR, clock)))
    operating.create(server)
    assert len(server.requests) > 100
    assert server.connections == 1


def test_a_retry_after_the_deadline_waits_on(serve: Serve, operating: Operating, clock: Clock) -> None:
    server = serve(Looks(clock, build_of(900, clock)))
    with pytest.raises(AirflowException, match="retry"):
        operating.create(server, [HNSW], timeout=600)

    (index,) = operating.create(server, [HNSW], timeout=600, try_number=2)

    assert index["state"] == "Finished"
    assert server.paths.count("indexes/create") == 1


@pytest.fixture(autouse=True)
def no_real_pause(clock: Clock) -> Iterator[None]:
    """Fail loudly if a test forgot that time is simulated here."""
    yield
    assert clock.elapsed == pytest.approx(sum(clock.naps))
