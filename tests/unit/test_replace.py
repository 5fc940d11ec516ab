"""Replacing an index: what is done, in which order, and what is left alone."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_vectordb._compat import AirflowException, AirflowFailException
from tests.support.harness import HNSW, Clock, Operating
from tests.support.loading_milvus import (
    CHANGES,
    WIDER,
    LoadingMilvus,
    Make,
    Store,
    let_the_loop_sleep_by,
    m,
    maker,
    milvus,
)
from tests.support.scripted import Answer, Behaviour, Request, Serve, error, page

ALL = ["collections/release", "indexes/drop", "indexes/create", "collections/load"]
SLOW = {"release": 20.0, "build": 300.0, "load": 40.0}


@pytest.fixture(params=["in the worker", "deferrable"])
def deferrable(request: pytest.FixtureRequest, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> bool:
    let_the_loop_sleep_by(clock, monkeypatch)
    return bool(request.param == "deferrable")


@pytest.fixture
def worker(operating: Operating, monkeypatch: pytest.MonkeyPatch) -> Make:
    return maker(operating, monkeypatch)


def test_order_and_end(serve: Serve, worker: Make, clock: Clock, deferrable: bool) -> None:
    fake = milvus(takes=dict(SLOW))
    server = serve(fake)
    running = worker(server, deferrable=deferrable)

    (index,) = running.run()

    assert fake.changes == ALL
    assert (m(fake), fake.loaded) == ("32", {"_default"})
    assert index["params"]["M"] == 32
    assert (index["state"], index["pending_rows"]) == ("Finished", 0)
    assert 360 <= clock.elapsed <= 400
    assert running.deferrals == (["CollectionReleased", "IndexesBuilt", "CollectionLoaded"] if deferrable else [])
    assert running.store == {}


def test_a_dag_that_is_changed_meanwhile(
    serve: Serve, worker: Make, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_the_loop_sleep_by(clock, monkeypatch)
    fake = milvus(takes=dict(SLOW))
    running = worker(serve(fake), deferrable=True)
    make = running.make

    def changed() -> Any:
        task = make()
        task.if_exists = "skip" if running.deferrals else "replace"
        return task

    running.make = changed
    running.run()
    assert fake.changes == ALL
    assert (m(fake), fake.loaded, running.store) == ("32", {"_default"}, {})


def test_a_page_in_the_place_of_milvus_is_an_outage_after_a_deferral_too(
    serve: Serve, worker: Make, deferrable: bool
) -> None:
    fake = milvus(takes=dict(SLOW), faults={path: [None, page()] for path in ("collections/describe", "indexes/list")})
    worker(serve(fake), deferrable=deferrable).run()
    assert (fake.changes, m(fake)) == (ALL, "32")


def test_a_fast_server_is_asked_little(serve: Serve, worker: Make, clock: Clock) -> None:
    server = serve(milvus())

    worker(server, deferrable=True).run()

    assert server.paths == [
        *("collections/describe", "indexes/list", "indexes/describe"),
        *("collections/get_load_state", "partitions/list", "collections/release", "collections/get_load_state"),
        *("indexes/describe", "indexes/drop", "indexes/create", "indexes/describe"),
        *("collections/load", "collections/get_load_state", "partitions/list"),
    ]


def test_the_same_index_is_left_alone(serve: Serve, worker: Make) -> None:
    fake = milvus()
    server = serve(fake)
    running = worker(server, [HNSW])

    running.run()
    running.run()

    assert server.paths == ["collections/describe", "indexes/list", "indexes/describe"] * 2
    assert fake.loaded == {"_default"}


def test_nothing_there_is_just_created(serve: Serve, worker: Make) -> None:
    fake = LoadingMilvus()
    worker(serve(fake)).run()
    assert fake.changes == ["indexes/create"]


def test_not_loaded_before_is_not_loaded_after(serve: Serve, worker: Make, deferrable: bool) -> None:
    fake = milvus(loaded=set())
    worker(serve(fake), deferrable=deferrable).run()
    assert fake.changes == ["indexes/drop", "indexes/create"]
    assert (m(fake), fake.loaded) == ("32", set())


def test_what_was_being_loaded_is_loaded(serve: Serve, worker: Make, clock: Clock) -> None:
    fake = milvus(_ready={"_default": clock.now + 500})
    worker(serve(fake)).run()
    assert fake.changes == ALL
    assert fake.loaded == {"_default"}


@pytest.mark.parametrize("loaded", [{"a"}, {"a", "c"}, {"_default", "a", "b", "c"}])
def test_partitions(loaded: set[str], serve: Serve, worker: Make, deferrable: bool) -> None:
    fake = milvus(partitions=["_default", "a", "b", "c"], loaded=set(loaded), takes={"load": 30.0})

    worker(serve(fake), deferrable=deferrable).run()

    assert (m(fake), fake.loaded) == ("32", loaded)
    assert fake.changes[-1] == ("collections/load" if len(loaded) == 4 else "partitions/load")


@pytest.mark.parametrize("dropped", [["a"], ["a", "c"]])
def test_partitions_that_are_dropped_meanwhile(dropped: list[str], serve: Serve, worker: Make, clock: Clock) -> None:
    fake = milvus(partitions=["_default", "a", "c"], loaded={"a", "c"})

    def script(request: Any) -> Any:
        answer = fake(request)
        if request.path == "indexes/create":
            fake.partitions = [name for name in fake.partitions if name not in dropped]
        return answer

    worker(serve(script)).run()

    assert fake.loaded == {"a", "c"} - set(dropped)


def test_without_waiting(serve: Serve, worker: Make, clock: Clock) -> None:
    fake = milvus(takes={**SLOW, "release": 0.0})
    running = worker(serve(fake), wait_for_completion=False)

    (index,) = running.run()

    assert fake.changes == ALL
    assert index["state"] == "InProgress"
    assert (clock.elapsed, running.store) == (0.0, {})


def test_several_indexes_are_released_for_once(serve: Serve, worker: Make, deferrable: bool) -> None:
    fake = milvus()
    fake.add("sparse", "SPARSE_INVERTED_INDEX", "IP", drop_ratio_build="0.1")
    fake.add("label", "INVERTED", "")
    sparse = {"fieldName": "sparse", "indexType": "SPARSE_INVERTED_INDEX", "params": {"drop_ratio_build": 0.3}}
    label = {"fieldName": "label", "indexType": "INVERTED"}

    found = worker(serve(fake), [WIDER, sparse, label], deferrable=deferrable).run()

    assert fake.changes == ["collections/release", "indexes/drop", *ALL[1:]]
    assert [index["index_name"] for index in found] == ["vector", "sparse", "label"]
    assert fake.indexes["sparse"]["params"] == {"drop_ratio_build": "0.3"}


def test_by_an_alias(serve: Serve, worker: Make, deferrable: bool) -> None:
    fake = milvus(aliases=("current",))
    server = serve(fake)

    (index,) = worker(server, collection_name="current", deferrable=deferrable).run()

    assert (m(fake), fake.loaded) == ("32", {"_default"})
    assert index["collection_name"] == "current"
    # Where an alias leads may change while the index is built.
    assert {r.body["collectionName"] for r in server.requests if r.path in set(CHANGES) - {"indexes/create"}} == {
        "docs"
    }


@pytest.mark.parametrize("answer", [Answer("404 page not found", 404), error(10, "unimplemented")])
def test_a_server_that_has_no_aliases(answer: Answer, serve: Serve, worker: Make) -> None:
    fake = milvus()

    def script(request: Request) -> Behaviour:
        if request.path == "aliases/describe":
            return answer
        answered = fake(request)
        if request.path == "collections/describe":
            del answered.body["data"]["aliases"]
        return answered

    server = serve(script)
    worker(server).run()
    assert (m(fake), fake.loaded) == ("32", {"_default"})
    assert "aliases/describe" in server.paths


def test_another_name(serve: Serve, worker: Make) -> None:
    fake = milvus()
    worker(serve(fake), [{**WIDER, "indexName": "wider"}]).run()
    assert list(fake.indexes) == ["wider"]


def test_flushing_is_done_once(serve: Serve, worker: Make, deferrable: bool) -> None:
    server = serve(milvus(takes=dict(SLOW)))
    worker(server, flush=True, deferrable=deferrable).run()
    assert server.paths.count("collections/flush") == 1


# What a description does not tell ------------------------------------------------------------------------------------


def test_a_server_that_does_not_tell_parameters_is_asked(serve: Serve, worker: Make, deferrable: bool) -> None:
    fake = milvus(tells=False)
    running = worker(serve(fake), deferrable=deferrable)

    running.run()
    assert (m(fake), fake.loaded) == ("32", {"_default"})
    # Refused, refused by itself, and then made.
    assert fake.changes == ["indexes/create", "indexes/create", *ALL]
    running.run()
    assert fake.changes[6:] == ["indexes/create"]


def test_of_several_only_the_refused_one_goes(serve: Serve, worker: Make) -> None:
    fake = milvus(tells=False)
    fake.add("label", "INVERTED", "", a="1")
    server = serve(fake)
    worker(
        server, [{"fieldName": "label", "indexType": "INVERTED", "params": {"a": 1}}, WIDER], allow_unknown=True
    ).run()
    assert [body["indexName"] for body in server.bodies("indexes/drop")] == ["vector"]


@pytest.mark.parametrize("code", [1100, 65535])
def test_what_is_refused_for_another_reason_is_left_alone(code: int, serve: Serve, worker: Make) -> None:
    fake = milvus(tells=False)
    server = serve(fake)
    fake.faults["indexes/create"] = [error(code, "M 32 out of range")] * 3

    with pytest.raises(AirflowFailException, match="out of range"):
        worker(server).run()

    assert set(fake.changes) == set()
    assert (m(fake), fake.loaded) == ("16", {"_default"})


def test_a_new_index_that_is_refused_beside_a_doubtful_one(serve: Serve, worker: Make) -> None:
    fake = milvus(tells=False, refuses={"label": error(65535, "invalid index type for this field")})

    with pytest.raises(AirflowFailException, match="invalid index type"):
        worker(serve(fake), [{"fieldName": "label", "indexType": "INVERTED"}, HNSW]).run()

    assert fake.loaded == {"_default"}
    assert "collections/release" not in fake.changes


def test_zilliz_cloud_does_not_build_anew_at_each_run(serve: Serve, worker: Make) -> None:
    fake = LoadingMilvus(cloud=True, loaded={"_default"})
    running = worker(serve(fake))

    for _ in range(3):
        running.run()

    assert fake.changes == ["indexes/create"] * 3
    assert fake.loaded == {"_default"}


def test_autoindex_that_is_told_by_the_chosen_type(serve: Serve, worker: Make) -> None:
    fake = milvus(loaded={"_default"})
    server = serve(fake)
    fake.faults["indexes/create"] = [error(0)]  # to the server it is the same
    worker(server, [{"fieldName": "vector"}]).run()
    assert fake.changes == []
    worker(server, [{"fieldName": "vector"}]).run()  # to the fake it is not
    assert fake.indexes["vector"]["indexType"] == "AUTOINDEX"


@pytest.mark.parametrize("other", [HNSW, WIDER])
def test_a_failed_index_is_replaced_even_by_the_same(
    other: dict[str, Any], serve: Serve, worker: Make, deferrable: bool
) -> None:
    fake = milvus(_built={"vector": 0.0})
    failing = [True]
    fake.fails = lambda index: "out of disk" if failing[0] else None

    def script(request: Any) -> Any:
        failing[0] = failing[0] and request.path != "indexes/create"
        return fake(request)

    worker(serve(script), [other], deferrable=deferrable).run()

    assert fake.changes == ALL
    assert fake.loaded == {"_default"}


# What may not be -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "asked", [[{"fieldName": "sparse", "indexName": "mine"}, WIDER], [{**WIDER, "indexName": "mine"}]]
)
def test_a_name_that_is_taken_elsewhere_is_left_alone(serve: Serve, worker: Make, asked: Any) -> None:
    fake = milvus()
    fake.indexes["mine"] = {"fieldName": "label", "indexType": "INVERTED", "metricType": "", "params": {}}
    with pytest.raises(AirflowFailException, match="'mine' is taken"):
        worker(serve(fake), asked).run()
    assert fake.changes == []


def test_another_client_loads_it_again(serve: Serve, worker: Make, clock: Clock) -> None:
    fake = milvus()

    def script(request: Any) -> Any:
        if request.path == "indexes/drop" and "indexes/drop" not in fake.changes:
            fake.loaded.add("_default")
        return fake(request)

    running = worker(serve(script))
    with pytest.raises(AirflowException, match="Another client is loading") as caught:
        running.run()
    assert not isinstance(caught.value, AirflowFailException)

    running.run()

    assert (m(fake), fake.loaded, running.store) == ("32", {"_default"}, {})


def test_the_deadline_is_one_for_all_waits(serve: Serve, worker: Make, clock: Clock, deferrable: bool) -> None:
    fake = milvus(takes=dict(SLOW))
    running = worker(serve(fake), deferrable=deferrable, timeout=100)

    with pytest.raises(AirflowException, match=r"1 min 40 s \(timeout\).*another try of this task loads it again"):
        running.run()

    assert 100 <= clock.elapsed < 103
    assert json.loads(Store.__getitem__(running.store or Store(), "airflow_vectordb.replace"))["loaded"] == []
