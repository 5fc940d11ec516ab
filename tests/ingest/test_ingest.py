"""An ingest as a whole: no row lost, none twice, whatever fails, and wherever a try ends."""

from __future__ import annotations

import itertools
import json
import random
import re
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import nullcontext, suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_vectordb.ingest.bad_rows import BadRows
from airflow_vectordb.ingest.batches import BadRow
from airflow_vectordb.ingest.memory import source_of
from airflow_vectordb.ingest.writer import Progress
from airflow_vectordb.rest.entities import Written
from airflow_vectordb.rest.errors import (
    InvalidParametersError,
    LimitExceededError,
    MilvusError,
    RateLimitError,
    UnexpectedError,
)
from airflow_vectordb.rest.http.json import encode
from tests.support.collections import AUTO_ID, DOCS, ID, VECTOR, described, field
from tests.support.ingests import AUTO, Killed, Milvus, auto_rows, ingest, rows, run_until_done

FAILURES = st.lists(st.sampled_from([None, None, "before", "after"]), max_size=40)
SIZES = st.integers(0, 60)


@settings(max_examples=60, deadline=None)
@given(count=SIZES, failures=FAILURES, batch_rows=st.integers(1, 70), in_flight=st.integers(1, 4))
@pytest.mark.parametrize("mode", ["upsert", "insert"])
def test_each_row_with_a_key_of_its_own_is_there_once(
    mode: Any, count: int, failures: list[str | None], batch_rows: int, in_flight: int
) -> None:
    milvus = Milvus(iter(failures))
    progress = run_until_done(milvus, DOCS, rows(count), mode=mode, batch_rows=batch_rows, max_in_flight=in_flight)
    assert sorted(row["id"] for row in milvus.rows) == list(range(count))
    assert (progress.rows, progress.skipped) == (count, 0)


@settings(max_examples=60, deadline=None)
@given(count=SIZES, failures=FAILURES, batch_rows=st.integers(1, 70), in_flight=st.integers(1, 4))
def test_each_row_is_there_once_where_a_field_tells_them_apart(
    count: int, failures: list[str | None], batch_rows: int, in_flight: int
) -> None:
    milvus = Milvus(iter(failures), key="doc")
    run_until_done(milvus, AUTO, auto_rows(count), key_field="doc", batch_rows=batch_rows, max_in_flight=in_flight)
    assert sorted(row["doc"] for row in milvus.rows) == sorted(f'd"{i}' for i in range(count))


def test_a_field_that_tells_rows_apart_exists_and_each_row_has_it() -> None:
    milvus = Milvus(key="doc")
    with pytest.raises(
        InvalidParametersError, match=r"key_field='dok': the collection has no such VarChar or integer field.*'doc'"
    ):
        ingest(auto_rows(1), AUTO, milvus, key_field="dok")
    nullable = described(AUTO_ID, field("doc", "VarChar", nullable=True, max_length=16), VECTOR)
    with pytest.raises(InvalidParametersError, match="row 2: doc: missing, and key_field tells rows apart by it"):
        ingest(
            [*auto_rows(1), {"doc": None, "vector": [1, 0, 0, 0]}],
            nullable,
            milvus,
            key_field="doc",
        )
    assert milvus.requests == []


def test_without_such_a_field_rows_in_flight_may_be_there_twice_and_the_log_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    milvus = Milvus(iter([None, "after"]), key="doc")
    run_until_done(milvus, AUTO, auto_rows(6), batch_rows=2, max_in_flight=1)
    assert len(milvus.rows) == 8
    assert "2 rows are sent again and may exist twice: key_field= would prevent that" in caplog.text


def test_rows_are_batched_by_number_and_by_bytes() -> None:
    milvus = Milvus()
    run_until_done(milvus, DOCS, rows(25), batch_rows=10, max_in_flight=1)
    assert milvus.requests == [("upsert", 10), ("upsert", 10), ("upsert", 5)]
    milvus = Milvus()
    run_until_done(milvus, DOCS, rows(5), batch_bytes=100, max_in_flight=1)
    assert milvus.requests == [("upsert", 2), ("upsert", 2), ("upsert", 1)]


def test_the_last_of_several_rows_with_one_key_wins_although_requests_overtake_each_other() -> None:
    class Overtaking(Milvus):
        """The first request arrives after a later one for its key, unless that waits for its answer."""

        arrived = threading.Event()

        def send(self, call: Any, *, retries: int | None = None) -> Any:
            title = json.loads(encode(call.body))["data"][0]["title"]
            if title == "t0":
                self.arrived.wait(0.3)
            answer = super().send(call, retries=retries)
            if title == "t2":
                self.arrived.set()
            return answer

    milvus = Overtaking()
    versions = [{"id": number % 2, "title": f"t{number}", "vector": [1, 0, 0, 0]} for number in range(4)]
    ingest(versions, DOCS, milvus, batch_rows=1, max_in_flight=4)
    assert sorted(row["title"] for row in milvus.rows) == ["t2", "t3"]


def test_a_retry_goes_on_where_the_last_acknowledged_batch_ended() -> None:
    milvus = Milvus(iter([None, None, "before"]))
    saved: list[dict[str, Any]] = []
    data = source_of(rows(50))
    with pytest.raises(MilvusError):
        ingest([data], DOCS, milvus, save=saved.append, batch_rows=10, max_in_flight=1)
    assert saved[-1]["row"] == 20
    ingest([data], DOCS, milvus, progress=Progress.from_json(saved[-1]), batch_rows=10, max_in_flight=1)
    assert milvus.requests == [("upsert", 10)] * 5


class Outage:
    """
    What keeps the progress, and is away for a while.

    :param away: for each attempt, whether it is
    """

    def __init__(self, away: Iterable[bool]) -> None:
        self.kept: list[dict[str, Any]] = []
        self.error: Exception = ConnectionError("the database is away")
        self._away = iter(away)

    def save(self, progress: dict[str, Any]) -> None:
        if next(self._away, False):
            raise self.error
        self.kept.append(progress)


@pytest.mark.parametrize("error", [ConnectionError("it is away"), json.JSONDecodeError("it is away", "<html>", 0)])
def test_a_progress_that_cannot_be_kept_for_a_while_ends_no_ingest(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    milvus, outage, pauses, time = Milvus(), Outage([True] * 5), [], iter(range(0, 10_000, 3))
    outage.error = error
    options: dict[str, Any] = {"clock": lambda: float(next(time)), "sleep": pauses.append, "max_in_flight": 1}
    done = ingest(rows(50), DOCS, milvus, save=outage.save, batch_rows=10, **options)
    assert done.rows == len(milvus.rows) == 50
    assert Progress.from_json(outage.kept[-1]) == done
    assert "docs: the progress cannot be stored now, and a retry would repeat more: it is away" in caplog.text


@pytest.mark.parametrize(("away", "requests"), [(11, 5), (12, 0)])
def test_nothing_is_inserted_before_it_is_kept_that_it_may_be(away: int, requests: int) -> None:
    milvus, outage, pauses = Milvus(key="doc"), Outage([True] * away), []
    options: dict[str, Any] = {"batch_rows": 10, "max_in_flight": 1, "sleep": pauses.append}
    with nullcontext() if requests else pytest.raises(ConnectionError):
        ingest(auto_rows(50), AUTO, milvus, key_field="doc", save=outage.save, **options)
    assert len(milvus.requests) == requests
    assert pauses[:11] == [5.0] * 11


@pytest.mark.parametrize("mode", ["upsert", "insert"])
@pytest.mark.parametrize("mistake", [TypeError("set is not JSON serializable"), ValueError("Circular"), KeyError("ti")])
def test_a_mistake_in_the_function_that_keeps_it_ends_the_ingest_at_once(mode: Any, mistake: Exception) -> None:
    def save(progress: dict[str, Any]) -> None:
        raise mistake

    milvus, pauses, time = Milvus(), list[float](), iter(range(0, 10_000, 3))
    options: dict[str, Any] = {"clock": lambda: float(next(time)), "sleep": pauses.append, "max_in_flight": 1}
    with pytest.raises(type(mistake)):
        ingest(rows(50), DOCS, milvus, mode=mode, save=save, batch_rows=10, **options)
    assert pauses == []
    assert len(milvus.requests) < 5


@settings(max_examples=60, deadline=None)
@given(
    failures=FAILURES,
    away=st.lists(st.booleans(), max_size=30),
    count=SIZES,
    in_flight=st.integers(1, 4),
    seed=st.integers(),
)
def test_each_row_is_there_once_whenever_the_progress_cannot_be_kept(
    failures: list[str | None], away: list[bool], count: int, in_flight: int, seed: int
) -> None:
    milvus, outage = Milvus(iter(failures), key="doc"), Outage(away)
    now = itertools.accumulate(iter(random.Random(seed).random, None))
    for _ in range(100):
        kept = Progress.from_json(outage.kept[-1]) if outage.kept else None
        with suppress(MilvusError, ConnectionError):
            ingest(
                auto_rows(count),
                AUTO,
                milvus,
                key_field="doc",
                progress=kept,
                save=outage.save,
                batch_rows=5,
                max_in_flight=in_flight,
                clock=lambda: 4 * next(now),  # the progress is stored after some of the batches
                patience=0,
                sleep=lambda _: None,
            )
            break
    assert sorted(row["doc"] for row in milvus.rows) == sorted(row["doc"] for row in auto_rows(count))


CHANGED = r"rows has changed since the ingest began \(5 rows; now 6 rows\)"


@pytest.mark.parametrize("mode", ["upsert", "insert"])
def test_a_source_that_has_changed_since_is_noticed_and_read_from_its_beginning(
    mode: Any, caplog: pytest.LogCaptureFixture
) -> None:
    # An insert is tried once more, as an upsert.
    milvus = Milvus(iter([None, "before", *(["before"] if mode == "insert" else [])]))
    saved: list[dict[str, Any]] = []
    options: dict[str, Any] = {"sleep": lambda _: None, "mode": mode, "batch_rows": 2}
    with pytest.raises(MilvusError):
        ingest(rows(5), DOCS, milvus, save=saved.append, max_in_flight=1, **options)
    progress = Progress.from_json(saved[-1])
    done = ingest(rows(6), DOCS, milvus, progress=progress, **options)
    assert re.search(CHANGED + ": starting over from the first row", caplog.text)
    assert sorted(row["id"] for row in milvus.rows) == list(range(6))
    assert done.rows == 6


def test_a_source_that_has_changed_since_is_an_error_where_rows_would_double() -> None:
    milvus = Milvus(iter([None, "before", "before"]), key="doc")
    saved: list[dict[str, Any]] = []
    options: dict[str, Any] = {"sleep": lambda _: None, "batch_rows": 2, "max_in_flight": 1}
    with pytest.raises(MilvusError):
        ingest(auto_rows(5), AUTO, milvus, save=saved.append, **options)
    progress = Progress.from_json(saved[-1])
    with pytest.raises(InvalidParametersError, match=CHANGED):
        ingest(auto_rows(6), AUTO, milvus, progress=progress)
    ingest(auto_rows(6), AUTO, milvus, key_field="doc", progress=progress)
    assert sorted(row["doc"] for row in milvus.rows) == [f'd"{i}' for i in range(6)]


def test_a_refusal_for_lack_of_memory_slows_it_down() -> None:
    milvus, pauses = Milvus(iter(["refused", "refused", None])), []
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds
        pauses.append(seconds)

    ingest(rows(3), DOCS, milvus, sleep=sleep, clock=lambda: now)
    assert len(milvus.rows) == 3
    assert sum(pauses) == pytest.approx(1.0 + 2.0)


def test_a_refusal_that_does_not_end_fails_it() -> None:
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    milvus = Milvus(iter(["refused"] * 1000))
    with pytest.raises(LimitExceededError):
        ingest(rows(3), DOCS, milvus, sleep=sleep, clock=lambda: now, patience=600)
    assert 500 < now <= 600


@pytest.mark.parametrize("option", ["key_field", "replace_documents"])
def test_a_rate_limit_is_waited_out_by_every_call(option: str) -> None:
    class Limited(Milvus):
        limited = 0

        def send(self, call: Any, *, retries: int | None = None) -> Any:
            self.limited += 1
            if self.limited % 2:
                raise RateLimitError("request is rejected by grpc RateLimiter middleware", code=1807)
            if option == "replace_documents":
                return Written(5, tuple(range(5))) if call.path.endswith("insert") else 5
            return super().send(call)

    milvus, pauses, now = Limited(key="doc"), list[float](), itertools.count()
    options: dict[str, Any] = {option: "doc", "clock": lambda: 100.0 * next(now), "sleep": pauses.append}
    done = ingest(auto_rows(5), AUTO, milvus, progress=Progress(reserved=5, fingerprints=("5 rows",)), **options)
    assert (done.rows, milvus.limited) == (5, {"key_field": 4, "replace_documents": 8}[option])


@pytest.mark.parametrize("ends", ["a time-out of the task", "a batch before them"])
def test_who_waits_for_a_limit_does_not_outlast_the_ingest(ends: str) -> None:
    """Airflow raises in the main thread when ``execution_timeout`` is over; the batches in flight must not go on."""
    naps, waiting = list[float](), threading.Event()

    class Full(Milvus):
        def send(self, call: Any, *, retries: int | None = None) -> Any:
            if ends == "a batch before them" and json.loads(encode(call.body))["data"][0]["id"] == 0:
                waiting.wait(10)
                raise UnexpectedError("no")
            raise LimitExceededError("quota exceeded[reason=memory quota exceeded]", code=9)

    def sleep(seconds: float) -> None:
        naps.append(seconds)
        waiting.set()
        time.sleep(0.001)

    def stopping() -> Iterator[dict[str, Any]]:
        if ends == "a time-out of the task":
            waiting.wait(10)
            raise Killed
        yield from ()

    with pytest.raises((Killed, UnexpectedError)):
        ingest([source_of(rows(3)), source_of(stopping())], DOCS, Full(), sleep=sleep, batch_rows=1, clock=lambda: 0.0)
    assert max(naps) <= 1


def test_an_acknowledgement_of_fewer_rows_is_an_error() -> None:
    class Forgetful(Milvus):
        def send(self, call: Any, *, retries: int | None = None) -> Any:
            written = super().send(call)
            return Written(written.count - 1, written.ids)

    with pytest.raises(UnexpectedError, match="2 of 3 rows were acknowledged"):
        ingest(rows(3), DOCS, Forgetful())


def test_a_bad_row_ends_it_with_its_place_and_all_that_is_wrong() -> None:
    data = rows(5)
    data[3] = {"id": "x", "vector": [1]}
    with pytest.raises(InvalidParametersError) as caught:
        ingest(data, DOCS, Milvus())
    assert caught.value.problems == [
        "rows, row 4: id: 'x' (str) is not an Int64; vector: 1 numbers instead of 4; title: missing"
    ]


def test_bad_rows_are_passed_over_where_that_is_wanted() -> None:
    bad = list[BadRow]()

    class Listed(BadRows):
        def __call__(self, row: BadRow) -> None:
            bad.append(row)

    milvus = Milvus()
    data: list[Any] = rows(6)
    data[0], data[3], data[5] = 7, {**data[3], "vector": [float("nan")] * 4}, {**data[5], "id": 4}
    progress = ingest(data, DOCS, milvus, bad_rows=Listed())
    assert [str(one) for one in bad] == [
        "rows, row 1: a row must be a mapping, not an int (7)",
        "rows, row 4: vector: [0] is nan, not a finite number",
        "rows, row 6: id: 4 is also the key of row 5",
    ]
    assert (progress.rows, progress.skipped) == (3, 3)
    assert [row["id"] for row in milvus.rows] == [1, 2, 4]


def test_a_value_without_a_form_in_json_is_named() -> None:
    collection = described(ID, VECTOR, dynamic=True)
    with pytest.raises(InvalidParametersError, match="row 1: what: an object cannot be written as JSON"):
        ingest([{"id": 1, "vector": [1, 2, 3, 4], "what": object()}], collection, Milvus())


def test_no_rows_are_no_request() -> None:
    milvus = Milvus()
    assert run_until_done(milvus, DOCS, []).rows == 0
    assert milvus.requests == []


def test_several_sources_one_after_the_other() -> None:
    milvus = Milvus()
    sources = [source_of(rows(3)), source_of([]), source_of([{**row, "id": row["id"] + 3} for row in rows(4)])]
    progress = ingest(sources, DOCS, milvus, batch_rows=2)
    assert sorted(row["id"] for row in milvus.rows) == list(range(7))
    assert (progress.source, progress.row) == (2, 4)


def test_a_killed_insert_is_settled_by_upserts_of_what_was_in_flight() -> None:
    """Killed between the effect and its acknowledgement: the position says nothing of it, the reservation does."""
    milvus = Milvus()
    saved: list[dict[str, Any]] = []

    class Dying(Milvus):
        def send(self, call: Any, *, retries: int | None = None) -> Any:
            result = milvus.send(call)
            if len(milvus.requests) == 3:
                raise Killed
            return result

    with pytest.raises(Killed):
        ingest(rows(50), DOCS, Dying(), mode="insert", save=saved.append, batch_rows=10, max_in_flight=1)
    progress = Progress.from_json(saved[0])  # as a SIGKILL leaves it: what was written before the last one ended
    ingest(rows(50), DOCS, milvus, mode="insert", progress=progress, batch_rows=10, max_in_flight=1)
    assert sorted(row["id"] for row in milvus.rows) == list(range(50))
