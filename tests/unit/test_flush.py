"""Flushing: the task ends when the rows that it sealed are in the index, although the server says neither when."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from airflow_vectordb._compat import AirflowException, AirflowFailException
from airflow_vectordb.operators.index import CreateIndexOperator
from airflow_vectordb.sensors.milvus import IndexSensor
from airflow_vectordb.validation import check_rows
from tests.support.fake_milvus import FakeMilvus
from tests.support.harness import HNSW, Clock, Logged, Operating
from tests.support.loading_milvus import Worker
from tests.support.scripted import Answer, Behaviour, Request, ScriptedServer, Serve, error, ok

Make = Callable[..., Worker]
NEVER = float("inf")


@dataclass
class FlushingMilvus(FakeMilvus):
    """
    Answers a flush immediately, counts its rows later, describes them later still, and then builds, as seen on 2.6.3.

    :param clock: by which it does so
    :param sealed: rows that were sealed before
    :param growing: rows that a flush seals
    :param counts: seconds from the flush until ``rowCount`` is right
    :param describes: seconds until ``indexes/describe`` knows of them
    :param builds: seconds until they are indexed
    :param writes: rows a second that others insert and seal meanwhile; they are indexed in turn, the last 1,000 never
    :param deleted: rows that are gone from the counts from 20 s after the flush on
    :param unsealed: rows a second that others insert and nobody seals, which are counted and not described
    :param loaded: whether the collection is loaded, so that its rows can be counted
    """

    clock: Clock = None  # type: ignore[assignment]
    sealed: int = 0
    growing: int = 6_000
    counts: float = 0.75
    describes: float = 2.9
    builds: float = 30.0
    writes: int = 0
    deleted: int = 0
    loaded: bool = False
    unsealed: int = 0
    flushed: float = NEVER

    def __call__(self, request: Request) -> Behaviour:
        if request.path == "collections/flush":
            self.flushed = min(self.flushed, self.clock.now)
        if request.path == "entities/query":
            return self._count(request.body)
        return super().__call__(request)

    @property
    def since(self) -> float:
        return self.clock.now - self.flushed

    def known(self, after: float) -> int:
        new = self.growing if self.since >= after else 0
        gone = self.deleted if self.since >= 20 else 0
        return self.sealed + new - gone + int(self.writes * self.clock.elapsed)

    def _answer(self, path: str, body: Mapping[str, Any]) -> Behaviour:
        if path == "collections/get_stats":
            return ok({"rowCount": self.known(self.counts) + int(self.unsealed * min(max(self.since, 0), 3_600))})
        return super()._answer(path, body)

    def _collection(self, body: Mapping[str, Any]) -> Answer:
        answer = super()._collection(body)
        answer.body["data"]["load"] = "LoadStateLoaded" if self.loaded else "LoadStateNotLoad"
        return answer

    def _describe(self, body: Mapping[str, Any]) -> Answer:
        answer = super()._describe(body)
        total = self.known(self.describes)
        pending = 1_000 if self.writes else 0
        if self.describes <= self.since < self.builds:
            pending += self.growing + int(self.writes * self.since)
        counts = {"totalRows": total, "pendingRows": pending, "indexedRows": total - pending}
        answer.body["data"][0].update(counts)
        return answer

    def _count(self, body: Mapping[str, Any]) -> Behaviour:
        assert body["outputFields"] == ["count(*)"]
        assert body["consistencyLevel"] == "Strong"
        gone = self.deleted if self.since >= 20 else 0
        return ok([{"count(*)": self.sealed + self.growing - gone}], cost=0)


@pytest.fixture(params=["in the worker", "deferrable"])
def worker(request: pytest.FixtureRequest, operating: Operating, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Make:
    def make(server: ScriptedServer, kind: type[Any] = CreateIndexOperator, **arguments: Any) -> Worker:
        operating.connect(server)
        given: dict[str, Any] = {"task_id": "index", "collection_name": "docs", **arguments}
        if kind is CreateIndexOperator:
            given = {"index_params": [HNSW], "flush": True, **given}
        return Worker(lambda: kind(deferrable=request.param == "deferrable", **given), monkeypatch)

    return make


@pytest.mark.parametrize("sealed", [0, 1_000_000])
@pytest.mark.parametrize("there", [False, True], ids=["a new index", "an index that is there"])
def test_it_ends_when_the_flushed_rows_are_indexed(
    sealed: int, there: bool, serve: Serve, worker: Make, clock: Clock, logged: Logged
) -> None:
    milvus = FlushingMilvus(clock=clock, sealed=sealed)
    if there:
        milvus.add("vector", M=16, efConstruction=200)

    (index,) = worker(serve(milvus)).run()

    assert (index["total_rows"], index["pending_rows"]) == (sealed + 6_000, 0)
    assert milvus.builds <= milvus.since <= milvus.builds * 1.1 + 1
    lines = logged.of("info")
    assert any("docs: flushed; the server seals the rows in the background" in line for line in lines)
    assert any("waiting until flushed rows are counted" in line for line in lines)


def test_a_row_count_that_moves_late_but_within_the_settling_time(serve: Serve, worker: Make, clock: Clock) -> None:
    milvus = FlushingMilvus(clock=clock, counts=4.5, describes=12.0)
    (index,) = worker(serve(milvus)).run()
    assert index["total_rows"] == 6_000


def test_what_is_loaded_is_counted_exactly(serve: Serve, worker: Make, clock: Clock, logged: Logged) -> None:
    """A server that takes longer than the settling time before it counts at all."""
    milvus = FlushingMilvus(clock=clock, sealed=500, counts=40.0, describes=45.0, builds=60.0, loaded=True)
    (index,) = worker(serve(milvus)).run()
    assert (index["total_rows"], index["pending_rows"]) == (6_500, 0)
    assert any("flushed, with 6,500 rows in memory" in line for line in logged.of("info"))
    assert any("500 of at least 6,500 rows are sealed" in line for line in logged.of("info"))


def test_rows_that_cannot_be_counted_do_not_keep_it_from_flushing(serve: Serve, worker: Make, clock: Clock) -> None:
    milvus = FlushingMilvus(clock=clock, loaded=True)
    denied = error(65535, "rpc error: code = PermissionDenied desc = PrivilegeQuery: permission deny to u", 403)
    server = serve(lambda request: denied if request.path == "entities/query" else milvus(request))
    (index,) = worker(server).run()
    assert index["total_rows"] == 6_000


@pytest.mark.parametrize(
    "answer", [Answer("404 page not found", 404), error(65535, "rpc error: code = Unimplemented desc = unknown method")]
)
def test_a_server_that_cannot_flush(answer: Answer, serve: Serve, worker: Make, clock: Clock) -> None:
    milvus = FlushingMilvus(clock=clock)
    server = serve(lambda request: answer if request.path == "collections/flush" else milvus(request))
    with pytest.raises(
        AirflowFailException, match=r"^this server cannot flush over REST\. flush=True needs Milvus 2\.5;"
    ):
        worker(server).run()


def test_a_rate_limit_of_flushes_is_waited_out(serve: Serve, worker: Make, clock: Clock) -> None:
    milvus = FlushingMilvus(clock=clock)
    limited = error(1807, "request is rejected by limiter: rate limit exceeded[rate=0.1]")
    refusals = [limited] * 40
    server = serve(lambda r: refusals.pop() if r.path == "collections/flush" and refusals else milvus(r))
    (index,) = worker(server).run()
    assert (index["total_rows"], refusals) == (6_000, [])


def test_an_empty_collection(serve: Serve, worker: Make, clock: Clock) -> None:
    (index,) = worker(serve(FlushingMilvus(clock=clock, growing=0))).run()
    assert index["total_rows"] == 0
    assert clock.elapsed <= 10


@pytest.mark.parametrize("state", ["IndexStateNone", "Unissued"])
def test_an_empty_collection_whose_build_is_never_issued(state: str, serve: Serve, worker: Make, clock: Clock) -> None:
    milvus = FlushingMilvus(clock=clock, growing=0, progress=lambda name: {"indexState": state})
    worker(serve(milvus)).run()
    assert clock.elapsed <= 10


@pytest.mark.parametrize("loaded", [False, True])
def test_others_that_go_on_writing(loaded: bool, serve: Serve, worker: Make, clock: Clock) -> None:
    milvus = FlushingMilvus(clock=clock, sealed=100_000, writes=500, loaded=loaded)
    (index,) = worker(serve(milvus)).run()
    assert index["total_rows"] - index["pending_rows"] >= 106_000
    assert milvus.builds <= milvus.since <= 40


@pytest.mark.parametrize("describes", [2.9, 45.0])
def test_others_whose_rows_nobody_seals(describes: float, serve: Serve, worker: Make, clock: Clock) -> None:
    milvus = FlushingMilvus(clock=clock, unsealed=100, describes=describes, builds=50.0)
    (index,) = worker(serve(milvus)).run()
    assert (index["total_rows"], index["pending_rows"]) == (6_000, 0)
    assert milvus.since <= 180


def test_what_is_waited_for_is_told_once_for_all_indexes(
    serve: Serve, worker: Make, clock: Clock, logged: Logged
) -> None:
    fields = {"id": "Int64", **dict.fromkeys(("vector", "other", "third"), "FloatVector")}
    specs = [{**HNSW, "fieldName": name} for name in ("vector", "other", "third")]
    worker(serve(FlushingMilvus(clock=clock, fields=fields)), index_params=specs).run()
    (first, *_) = [line for line in logged.of("info") if "flushed rows are counted" in line]
    assert first.count("waiting until flushed rows are counted") == 1
    assert "docs: waiting" in first


@pytest.mark.parametrize("deleted", [5_000, 6_000])
@pytest.mark.parametrize("loaded", [False, True])
@pytest.mark.parametrize("describes", [2.9, 25.0], ids=["counted before", "counted after"])
def test_rows_that_are_deleted_meanwhile(
    deleted: int, loaded: bool, describes: float, serve: Serve, worker: Make, clock: Clock
) -> None:
    milvus = FlushingMilvus(clock=clock, sealed=0, deleted=deleted, describes=describes, loaded=loaded)
    (index,) = worker(serve(milvus)).run()
    assert index["total_rows"] == 6_000 - deleted
    assert milvus.since <= 40


def test_counts_that_go_backwards_once_the_rows_are_counted(serve: Serve, worker: Make, clock: Clock) -> None:
    """A compaction: half of the rows are not told for a while, and what is told has nothing pending."""
    milvus = FlushingMilvus(clock=clock, sealed=50_000)
    milvus.progress = lambda name: {"totalRows": 28_000} if 10 <= milvus.since < 20 else {}
    (index,) = worker(serve(milvus)).run()
    assert index["pending_rows"] == 0
    assert milvus.since >= milvus.builds


def test_it_is_flushed_once_and_not_waited_for_unless_asked(serve: Serve, worker: Make, clock: Clock) -> None:
    server = serve(FlushingMilvus(clock=clock))
    worker(server, wait_for_completion=False).run()
    assert server.paths.count("collections/flush") == 1
    assert clock.elapsed == 0


# At least so many rows ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("min_rows", [6_000, "6000", " 6000 ", 6e3, "6000.0", np.int64(6_000), Decimal("6000.0")])
@pytest.mark.parametrize("kind", [CreateIndexOperator, IndexSensor])
def test_it_ends_when_so_many_rows_are_covered(
    kind: type[Any], min_rows: Any, serve: Serve, worker: Make, clock: Clock, logged: Logged
) -> None:
    """Another client flushes, a minute later."""
    milvus = FlushingMilvus(clock=clock, sealed=4_000, growing=2_000)
    milvus.add("vector", M=16, efConstruction=200)
    milvus.flushed = clock.now + 60
    flush = {"flush": False} if kind is CreateIndexOperator else {}

    (index,) = worker(serve(milvus), kind, min_rows=min_rows, **flush).run()

    assert (index["total_rows"], index["pending_rows"]) == (6_000, 0)
    assert milvus.since >= milvus.builds
    assert any("4,000 of at least 6,000 rows are sealed" in line for line in logged.of("info"))


@pytest.mark.parametrize("kind", [CreateIndexOperator, IndexSensor])
def test_too_late_says_how_many_are_sealed(kind: type[Any], serve: Serve, worker: Make, clock: Clock) -> None:
    milvus = FlushingMilvus(clock=clock, sealed=4_000)
    milvus.add("vector", M=16, efConstruction=200)
    flush = {"flush": False} if kind is CreateIndexOperator else {}
    with pytest.raises(AirflowException, match="4,000 of at least 6,000 rows are sealed"):
        worker(serve(milvus), kind, min_rows=6_000, timeout=600, **flush).run()


def test_an_empty_collection_does_not_have_so_many_rows(serve: Serve, worker: Make, clock: Clock) -> None:
    milvus = FlushingMilvus(clock=clock, growing=0)
    with pytest.raises(AirflowException, match="0 of at least 1 rows are sealed"):
        worker(serve(milvus), min_rows=1, timeout=60).run()


@pytest.mark.parametrize("kind", [CreateIndexOperator, IndexSensor])
def test_rows_that_were_there_are_not_missed_after_a_compaction(
    kind: type[Any], serve: Serve, worker: Make, clock: Clock
) -> None:
    """As seen on 2.3.5: upserted rows stand beside those that they replace until a compaction."""
    milvus = FlushingMilvus(clock=clock, deleted=3_000)
    milvus.add("vector", M=16, efConstruction=200)
    milvus.flushed = clock.now
    flush = {"flush": True} if kind is CreateIndexOperator else {}
    (index,) = worker(serve(milvus), kind, min_rows=6_000, **flush).run()
    assert (index["total_rows"], index["pending_rows"]) == (3_000, 0)
    assert milvus.builds <= milvus.since <= 40


@pytest.mark.parametrize("loaded", [False, True])
@pytest.mark.parametrize("counts", [0.75, 40.0])
def test_rows_that_can_never_be_so_many_end_it(
    loaded: bool, counts: float, serve: Serve, worker: Make, clock: Clock
) -> None:
    """Two rows in three were upserted with the key of another one, and compacted away immediately."""
    milvus = FlushingMilvus(clock=clock, growing=2_000, counts=counts, describes=counts + 2, loaded=loaded)
    with pytest.raises(AirflowException) as caught:
        worker(serve(milvus), min_rows=6_000).run()
    assert not isinstance(caught.value, AirflowFailException)
    text = "2,000 rows are flushed and indexed, fewer than min_rows=6,000. Do rows share keys? Lower it then."
    assert str(caught.value).startswith(text)
    assert 900 <= milvus.since <= 1_080


def test_rows_that_are_counted_late_are_waited_for(serve: Serve, worker: Make, clock: Clock) -> None:
    """So slow that the flush alone is believed too early: ``min_rows`` does not depend on it."""
    milvus = FlushingMilvus(clock=clock, sealed=500, counts=90.0, describes=110.0, builds=300.0)
    (index,) = worker(serve(milvus), min_rows=6_500).run()
    assert (index["total_rows"], index["pending_rows"]) == (6_500, 0)


@pytest.mark.parametrize("kind", [CreateIndexOperator, IndexSensor])
@pytest.mark.parametrize(
    "given",
    [
        *(
            "None",
            "",
            "many",
            "-1",
            "1.5",
            "6,000",
            "[6000]",
            [6000, None],
            {"upserted": 6000},
            [{"rows": 6000}, {"rows": True}],
            1.5,
            True,
            np.bool_(True),
            b"6000",
        ),
        *(-1, "1e999999999", "9" * 5_000, 10**400, float("inf"), float("nan"), Decimal("nan"), Decimal("1.5")),
    ],
)
def test_what_is_no_number_of_rows(
    kind: type[Any], given: Any, serve: Serve, worker: Make, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(FlushingMilvus(clock=clock))
    running = worker(server, kind, min_rows="{{ rows }}")
    make = running.make

    def rendered() -> Any:
        operator = make()
        operator.min_rows = given
        return operator

    running.make = rendered
    with pytest.raises(AirflowFailException, match="min_rows must be a number of rows, 0 or more"):
        running.run()
    assert set(server.paths) <= {"collections/describe"}  # the schema is read, so that all is reported together


@pytest.mark.parametrize(
    ("given", "advice"),
    [
        ("None", "does the task that it comes from return a number?"),
        ({"upsertCount": 6_000}, "pass the number in it"),
        (np.array([1, 2]), "pass the number in it"),
    ],
)
def test_what_to_do_about_what_is_no_number_of_rows(given: Any, advice: str) -> None:
    (problem,) = check_rows("min_rows", given)
    assert advice in problem


@pytest.mark.parametrize("kind", [CreateIndexOperator, IndexSensor])
@pytest.mark.parametrize("given", [-1, 1.5, True, "many", "-5", "", [-1]])
def test_what_is_refused_when_the_dag_is_parsed(kind: type[Any], given: Any) -> None:
    more = {"index_params": [HNSW]} if kind is CreateIndexOperator else {}
    with pytest.raises(ValueError, match="min_rows must be a number of rows"):
        kind(task_id="index", collection_name="docs", min_rows=given, **more)
    assert "min_rows" in kind.template_fields
