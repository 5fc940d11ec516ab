"""Waiting for a build: it ends when, and only when, the index is built, whatever the server says on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_vectordb._compat import AirflowException, AirflowFailException
from tests.support.fake_milvus import BUILT, NO_COLLECTION, FakeMilvus, rows, told
from tests.support.harness import HNSW, Clock, Logged, Looks, Operating
from tests.support.scripted import Answer, Behaviour, CutOff, Raw, ScriptedServer, Serve, Silent, error, ok, page


def looks(server: ScriptedServer) -> int:
    return server.paths.count("indexes/describe")


@pytest.mark.parametrize("pending", [100_000, 1])
def test_finished_with_rows_pending_is_not_built(
    pending: int, serve: Serve, operating: Operating, clock: Clock
) -> None:
    server = serve(FakeMilvus(progress=told(*[rows(pending, "Finished")] * 40, BUILT)))

    (index,) = operating.create(server)

    assert looks(server) == 41
    assert (index["state"], index["pending_rows"]) == ("Finished", 0)


@pytest.mark.parametrize("state", ["IndexStateNone", "Unissued", "InProgress", "Retry", "", "SomethingNew"])
def test_only_finished_is_finished(state: str, serve: Serve, operating: Operating, clock: Clock) -> None:
    server = serve(FakeMilvus(progress=told(*[rows(0, state)] * 5, BUILT)))
    operating.create(server)
    assert looks(server) == 6


def test_counts_that_go_backwards(serve: Serve, operating: Operating, clock: Clock, logged: Logged) -> None:
    pending = [100_000, 60_000, 20_000, 90_000, 90_000, 30_000, 120_000, 1]
    server = serve(FakeMilvus(progress=told(*map(rows, pending), BUILT)))

    (index,) = operating.create(server)

    assert looks(server) == len(pending) + 1
    assert index["pending_rows"] == 0
    told_rows = [line for line in logged.of("info") if "docs/vector: " in line and "rows" in line]
    assert any("80,000 of 100,000 rows (80%)" in line for line in told_rows)
    assert not any("-" in line.split("rows")[0] for line in told_rows)


def test_rows_that_never_get_into_the_index(serve: Serve, operating: Operating, clock: Clock) -> None:
    server = serve(FakeMilvus(progress=told(rows(0, "Finished", indexed=1_000))))

    (index,) = operating.create(server)

    assert looks(server) == 1
    assert clock.naps == []
    assert (index["indexed_rows"], index["total_rows"]) == (1_000, 100_000)


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

ENDS: dict[str, tuple[Behaviour, list[str]]] = {
    "index dropped": (error(700, "index not found"), ["code 700", "index not found"]),
    "collection dropped": (NO_COLLECTION, ["code 100", "can't find collection"]),
    "database dropped": (error(800, "database not found"), ["code 800"]),
    "token revoked": (error(1800, "user hasn't authenticated", 401), ["code 1800", "login and password"]),
    "privilege revoked": (error(1401, "no privilege", 403), ["code 1401", "privilege"]),
    "an empty list": (ok([]), ["no index 'vector'"]),
    "another index": (ok([{"indexName": "other", "fieldName": "vector"}]), ["no index 'vector'"]),
    "moved away": (Answer("", 301, {"Location": "https://elsewhere"}), ["redirect", "https://elsewhere"]),
}


@pytest.mark.parametrize("case", ENDS)
def test_permanent_errors_end_it_at_once(case: str, serve: Serve, operating: Operating, clock: Clock) -> None:
    behaviour, words = ENDS[case]
    milvus = FakeMilvus(progress=told(rows(100)), faults={"indexes/describe": [*[None] * 5, behaviour]})
    server = serve(milvus)

    with pytest.raises(AirflowFailException) as caught:
        operating.create(server)

    assert looks(server) == 6
    assert server.paths[-1] == "indexes/describe"
    for word in ("task index", "'vector'", "'docs'", server.url, *words):
        assert word in str(caught.value)


@pytest.mark.parametrize("before", [0, 4])
def test_a_build_that_fails(before: int, serve: Serve, operating: Operating, clock: Clock) -> None:
    failed = {**rows(100, "Failed"), "failReason": "not enough disk"}
    server = serve(FakeMilvus(progress=told(*[rows(100)] * before, failed)))

    with pytest.raises(AirflowFailException) as caught:
        operating.create(server)

    assert looks(server) == before + 1
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

PASSING: dict[str, Behaviour] = {
    "HTML": page(200),
    "garbage": Answer(b"\x00\x01garbage"),
    "half of a JSON": Answer('{"code": 0, "data": [{'),
    "another shape": ok({"state": "fine"}),
    "rows without a number": ok([{"indexName": "vector", "fieldName": "vector", "totalRows": "many"}]),
    "not HTTP": Raw(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "404": page(404),
    "502": page(502),
    "rate limit": error(1807, "slow down"),
    "not ready": error(1, "starting"),
    "closed": CutOff(b""),
    "cut off": CutOff(reset=True),
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
    assert looks(server) == 4 + 3  # no retries but the next look
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


def test_an_hour_of_503(serve: Serve, operating: Operating, clock: Clock, logged: Logged) -> None:
    milvus = FakeMilvus(progress=lambda name: BUILT if clock.elapsed > 3700 else rows(500))
    seen = Looks(clock, milvus, lambda elapsed: page(503) if 60 < elapsed < 3660 else None)

    (index,) = operating.create(serve(seen))

    assert index["pending_rows"] == 0
    assert 3700 < clock.elapsed < 3731
    warnings = [line for line in logged.of("warning") if "still waiting" in line]
    assert 2 <= len(warnings) <= 14  # the first one, and then seldom
    assert len([line for line in logged.of("info") if "answers again" in line]) == 1


@pytest.mark.parametrize(("asked", "least", "most"), [("20", 20, 20), ("60", 60, 60), ("86400", 10, 60)])
def test_retry_after_within_a_wait(
    asked: str, least: float, most: float, serve: Serve, operating: Operating, clock: Clock
) -> None:
    milvus = FakeMilvus(progress=told(rows(500), BUILT))
    milvus.faults["indexes/describe"] = [None, page(429, Retry_After=asked)]

    operating.create(serve(milvus), poll_interval=10)

    assert len(clock.naps) == 2
    assert least <= clock.naps[1] <= most


def test_answers_slower_than_the_time_out(
    serve: Serve, operating: Operating, clock: Clock, impatient: None, logged: Logged
) -> None:
    milvus = FakeMilvus(progress=told(rows(500), BUILT), faults={"indexes/describe": [None, Silent(), Silent()]})
    server = serve(milvus)

    (index,) = operating.create(server)

    assert index["pending_rows"] == 0
    assert looks(server) == 4
    assert any("no answer within 1 s" in line for line in logged.of("warning"))


def test_every_second_connection_is_reset(serve: Serve, operating: Operating, clock: Clock, logged: Logged) -> None:
    milvus = FakeMilvus(progress=lambda name: BUILT if clock.elapsed > 600 else rows(500))

    def script(request: Any) -> Behaviour:
        if request.connection % 2 == 0:
            return CutOff(b"", reset=True)
        behaviour = milvus(request)
        assert isinstance(behaviour, Answer)
        return Answer(behaviour.body, behaviour.status, {"Connection": "close"})

    server = serve(script)

    (index,) = operating.create(server)

    assert index["pending_rows"] == 0
    assert server.connections == len(server.requests) < 120
    assert clock.elapsed < 665
    # Two lines a look would bury what else there is to read.
    assert len([line for line in logged.of("warning") if "still waiting" in line]) <= 5


@pytest.fixture(autouse=True)
def no_real_pause(clock: Clock) -> Iterator[None]:
    """Fail loudly if a test forgot that time is simulated here."""
    yield
    assert clock.elapsed == pytest.approx(sum(clock.naps))
