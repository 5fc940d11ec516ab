"""Replacing an index by one that cannot be had: what was there is put back, and the task fails and says so."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_vectordb._compat import AirflowException, AirflowFailException
from tests.support.harness import HNSW, Clock, Operating
from tests.support.loading_milvus import WIDER, LoadingMilvus, Make, let_the_loop_sleep_by, m, maker, milvus
from tests.support.scripted import Behaviour, Request, Serve, error, ok, page

SLOW = {"release": 0.3, "build": 0.3, "load": 0.3}
BACK = r"So that nothing is lost, index 'vector' is being built as it was and the collection is being loaded again\."


@pytest.fixture(params=["in the worker", "deferrable"])
def deferrable(request: pytest.FixtureRequest, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> bool:
    let_the_loop_sleep_by(clock, monkeypatch)
    return bool(request.param == "deferrable")


@pytest.fixture
def worker(operating: Operating, monkeypatch: pytest.MonkeyPatch) -> Make:
    return maker(operating, monkeypatch)


def refusing(**arguments: Any) -> LoadingMilvus:
    """Milvus that refuses M=32 each time."""

    class Refusing(LoadingMilvus):
        def _create(self, body: Any) -> Behaviour:
            for item in body["indexParams"]:  # in order, up to the first that is refused
                if str(item["params"].get("M")) == "32":
                    return error(1100, "M 32 is too much")
                if (answer := super()._create({**body, "indexParams": [item]})) != ok():
                    return answer
            return ok()

    fake = Refusing(**{"loaded": {"_default"}, "takes": dict(SLOW), **arguments})
    fake.add("vector", M=16, efConstruction=200)
    return fake


def failing(**arguments: Any) -> LoadingMilvus:
    """Milvus whose build of M=32 fails each time."""
    fake = milvus(**{"takes": dict(SLOW), **arguments})
    fake.fails = lambda index: "out of disk" if index["params"].get("M") == "32" else None
    return fake


CASES = {"refused": (refusing, "M 32 is too much"), "failed": (failing, "out of disk")}


@pytest.mark.parametrize("loaded", [{"_default"}, {"a"}, set()])
@pytest.mark.parametrize("case", CASES)
def test_the_old_index_comes_back(
    case: str, loaded: set[str], serve: Serve, worker: Make, clock: Clock, deferrable: bool
) -> None:
    make, words = CASES[case]
    fake = make(partitions=["_default", "a"], loaded=set(loaded))
    before = {name: dict(index) for name, index in fake.indexes.items()}
    running = worker(serve(fake), deferrable=deferrable)

    with pytest.raises(AirflowFailException, match=words) as caught:
        running.run()

    assert fake.indexes == before
    assert fake.loaded == loaded
    assert running.store == {}
    assert "index 'vector' is being built as it was" in str(caught.value)
    assert ("the collection is being loaded again" in str(caught.value)) == bool(loaded)
    assert "Drop the index" not in str(caught.value)


@pytest.mark.parametrize("case", CASES)
def test_killed_after_each_request(case: str, serve: Serve, worker: Make, clock: Clock) -> None:
    calm = serve(CASES[case][0]())
    with pytest.raises(AirflowFailException):
        worker(calm).run()
    for number in range(1, len(calm.requests)):
        fake = CASES[case][0]()
        running = worker(serve(fake))
        with running.killed_after(number):
            running.run()
        with pytest.raises(AirflowFailException, match=BACK):
            running.run()
        assert (m(fake), fake.loaded, running.store) == ("16", {"_default"}, {}), f"killed after request {number}"


@pytest.mark.parametrize("case", CASES)
def test_an_outage_while_it_is_put_back_is_retried(case: str, serve: Serve, worker: Make, clock: Clock) -> None:
    fake = CASES[case][0]()
    left = [3]  # as often as the hook tries

    def script(request: Request) -> Behaviour:
        # The first request of the putting back.
        if request.path == "indexes/list" and "indexes/create" in fake.changes and left[0]:
            left[0] -= 1
            return page(503)
        return fake(request)

    running = worker(serve(script))
    with pytest.raises(AirflowException, match="could not be restored") as caught:
        running.run()
    assert not isinstance(caught.value, AirflowFailException)  # so Airflow tries again
    assert CASES[case][1] in str(caught.value)
    assert "vector: HNSW" in str(caught.value)

    with pytest.raises(AirflowFailException, match=BACK):
        running.run()

    assert (m(fake), fake.loaded, running.store) == ("16", {"_default"}, {})


def test_what_cannot_be_put_back_is_told(serve: Serve, worker: Make, clock: Clock) -> None:
    fake = refusing()
    fake.refuses = {"vector": error(1100, "no more indexes today")}
    running = worker(serve(fake))

    with pytest.raises(AirflowFailException) as caught:
        running.run()

    for words in ("M 32 is too much", "vector: HNSW", "'M': 16", "could not be restored", "no more indexes today"):
        assert words in str(caught.value)
    assert running.store  # another run of this task instance knows what to load
    with pytest.raises(AirflowFailException, match=BACK):
        running.run()


@pytest.mark.parametrize("old", ["cloud", "told with parameters"])
def test_autoindex_comes_back_without_parameters(old: str, serve: Serve, worker: Make, clock: Clock) -> None:
    fake = refusing()
    fake.indexes["vector"] = {"fieldName": "vector", "indexType": "AUTOINDEX", "metricType": "L2", "params": {}}
    if old != "cloud":
        fake.indexes["vector"]["params"] = {"mmap.enabled": "false"}
    server = serve(fake)

    with pytest.raises(AirflowFailException, match=BACK):
        worker(server).run()

    item = server.bodies("indexes/create")[-1]["indexParams"][0]
    assert item["params"] == {"index_type": "AUTOINDEX"}
    assert (item["metricType"], item["indexName"]) == ("L2", "vector")


def test_something_else_than_what_was_asked_for(serve: Serve, worker: Make, clock: Clock) -> None:
    fake = milvus(cloud=True)
    fake.indexes["vector"] = {"fieldName": "vector", "indexType": "AUTOINDEX", "metricType": "L2", "params": {}}

    with pytest.raises(AirflowFailException, match=r"AUTOINDEX in place of HNSW.*being built as it was"):
        worker(serve(fake), strict=True).run()

    assert fake.indexes["vector"]["metricType"] == "L2"
    assert fake.loaded == {"_default"}


def test_of_several_the_one_that_is_refused_comes_back(serve: Serve, worker: Make, clock: Clock) -> None:
    fake = refusing()
    fake.add("label", "INVERTED", "")
    with pytest.raises(AirflowFailException, match=BACK):
        worker(serve(fake), [{"fieldName": "label", "indexType": "TRIE"}, WIDER]).run()
    assert fake.indexes["label"]["indexType"] == "TRIE"  # it was built before, and is what was asked for
    assert (m(fake), fake.loaded) == ("16", {"_default"})


def test_a_failed_index_is_not_put_back(serve: Serve, worker: Make, clock: Clock) -> None:
    fake = milvus(fails=lambda index: "out of disk", loaded=set())
    with pytest.raises(AirflowFailException, match=r"out of disk.*Another try drops it"):
        worker(serve(fake)).run()
    assert (m(fake), fake.changes) == ("32", ["indexes/drop", "indexes/create"])


def test_the_index_is_built_but_loading_is_refused(serve: Serve, worker: Make, clock: Clock, deferrable: bool) -> None:
    fake = milvus(takes=dict(SLOW), faults={"collections/load": [error(3, "memory limit exceeded")]})
    running = worker(serve(fake), deferrable=deferrable)

    with pytest.raises(AirflowFailException, match=r"memory limit.*another try of this task loads it again"):
        running.run()
    assert m(fake) == "32"

    running.run()  # cleared by somebody who has added memory
    assert (m(fake), fake.loaded, running.store) == ("32", {"_default"}, {})


@pytest.mark.parametrize("code", [100, 1800])
def test_when_all_is_lost_the_first_error_is_told(
    code: int, serve: Serve, worker: Make, clock: Clock, deferrable: bool
) -> None:
    fake = milvus(takes=dict(SLOW))

    def script(request: Request) -> Behaviour:
        done = "indexes/create" in fake.changes
        return error(code, "it is gone") if done and request.path != "indexes/create" else fake(request)

    with pytest.raises(
        AirflowFailException, match=f"could not be restored for the same reason.*code {code}.*it is gone"
    ):
        worker(serve(script), deferrable=deferrable).run()


def test_nothing_to_put_back_when_nothing_was_there(serve: Serve, worker: Make, clock: Clock) -> None:
    fake = failing()
    del fake.indexes["vector"]
    with pytest.raises(AirflowFailException, match="out of disk") as caught:
        worker(serve(fake), [WIDER]).run()
    assert "nothing is lost" not in str(caught.value)
    assert fake.changes == ["indexes/create"]
    assert HNSW["fieldName"] in fake.indexes
