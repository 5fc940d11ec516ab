"""Loading collections and releasing them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import Asset

from airflow_vectordb._compat import AirflowException, AirflowFailException
from airflow_vectordb.operators.collection import LoadCollectionOperator, ReleaseCollectionOperator
from tests.support.harness import Clock, Operating
from tests.support.loading_milvus import LoadingMilvus, Worker, let_the_loop_sleep_by
from tests.support.scripted import ScriptedServer, Serve, error, ok

Run = Callable[..., Any]
PARTITIONS = ["_default", "a", "b"]


@pytest.fixture(autouse=True)
def simulated_time(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    let_the_loop_sleep_by(clock, monkeypatch)


@pytest.fixture(params=["in the worker", "deferrable"])
def deferrable(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "deferrable")


@pytest.fixture
def worker(operating: Operating, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Worker]:
    def make(operator: type[Any], server: ScriptedServer, **arguments: Any) -> Worker:
        operating.connect(server)
        return Worker(lambda: operator(**{"task_id": "it", "collection_name": "docs", **arguments}), monkeypatch)

    return make


Make = Callable[..., Worker]


def milvus(**arguments: Any) -> LoadingMilvus:
    made = LoadingMilvus(**{"partitions": list(PARTITIONS), "takes": {"load": 90.0, "release": 40.0}, **arguments})
    made.add("vector")
    return made


def test_loading(serve: Serve, worker: Make, clock: Clock, deferrable: bool) -> None:
    fake = milvus()
    server = serve(fake)
    running = worker(LoadCollectionOperator, server, deferrable=deferrable)

    result = running.run()

    assert result == {"collection_name": "docs", "partition_names": [], "load_state": "LoadStateLoaded"}
    assert 90 <= clock.elapsed <= 100
    assert running.deferrals == (["CollectionLoaded"] if deferrable else [])
    assert server.paths.count("collections/load") == 1
    json.dumps(result)


def test_releasing(serve: Serve, worker: Make, clock: Clock, deferrable: bool) -> None:
    fake = milvus(loaded=set(PARTITIONS))
    server = serve(fake)
    running = worker(ReleaseCollectionOperator, server, deferrable=deferrable)

    result = running.run()

    assert result == {"collection_name": "docs", "partition_names": [], "load_state": "LoadStateNotLoad"}
    assert 40 <= clock.elapsed <= 45
    assert running.deferrals == (["CollectionReleased"] if deferrable else [])
    assert server.paths.count("collections/release") == 1


@pytest.mark.parametrize("given", ["a", ["a"], ("a", "b")])
def test_partitions(given: Any, serve: Serve, worker: Make, clock: Clock, deferrable: bool) -> None:
    names = [given] if isinstance(given, str) else list(given)
    fake = milvus()
    server = serve(fake)

    loaded = worker(LoadCollectionOperator, server, partition_names=given, deferrable=deferrable).run()
    assert fake.loaded == set(names)
    assert loaded["partition_names"] == names

    released = worker(ReleaseCollectionOperator, server, partition_names=given, deferrable=deferrable).run()
    assert fake.loaded == set()
    assert released["load_state"] == "LoadStateNotLoad"
    asked = {"collections/get_load_state", "partitions/list"}
    assert set(server.paths) - asked == {"partitions/load", "partitions/release"}


def test_a_partition_is_waited_for_by_itself(serve: Serve, worker: Make, clock: Clock) -> None:
    fake = milvus(loaded={"a"})  # the collection is loaded, then
    worker(LoadCollectionOperator, serve(fake), partition_names=["b"]).run()
    assert clock.elapsed >= 90


def test_each_of_several_partitions_is_waited_for(serve: Serve, worker: Make, clock: Clock) -> None:
    fake = milvus(loaded={"b"}, _gone={"a": 0.0})
    worker(ReleaseCollectionOperator, serve(fake), partition_names=["a", "b"]).run()
    assert clock.elapsed >= 40


@pytest.mark.parametrize("given", [["a"], ["a", "b"]])
def test_releasing_while_another_partition_is_loaded(
    given: list[str], serve: Serve, worker: Make, clock: Clock, deferrable: bool
) -> None:
    """Milvus says "loading" of the released ones."""
    fake = milvus(loaded=set(PARTITIONS))
    released = worker(ReleaseCollectionOperator, serve(fake), partition_names=given, deferrable=deferrable).run()
    assert released["load_state"] == "LoadStateNotLoad"
    assert fake.loaded == set(PARTITIONS) - set(given)
    assert 40 <= clock.elapsed <= 45


@pytest.mark.parametrize(
    ("operator", "loaded"), [(LoadCollectionOperator, set(PARTITIONS)), (ReleaseCollectionOperator, set[str]())]
)
def test_what_is_so_already(
    operator: type[Any], loaded: set[str], serve: Serve, worker: Make, clock: Clock, deferrable: bool
) -> None:
    running = worker(operator, serve(milvus(loaded=loaded)), deferrable=deferrable)
    running.run()
    assert (clock.elapsed, running.deferrals) == (0.0, [])


@pytest.mark.parametrize("operator", [LoadCollectionOperator, ReleaseCollectionOperator])
def test_not_waiting(operator: type[Any], serve: Serve, worker: Make, clock: Clock, deferrable: bool) -> None:
    server = serve(milvus(loaded=set(PARTITIONS) if operator is ReleaseCollectionOperator else set()))

    result = worker(operator, server, wait_for_completion=False, deferrable=deferrable).run()

    assert result == {"collection_name": "docs", "partition_names": []}
    assert len(server.paths) == 1


@pytest.mark.parametrize("setting", ["True", "False"])
def test_default_deferrable(
    setting: str, serve: Serve, worker: Make, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE", setting)
    running = worker(LoadCollectionOperator, serve(milvus()))
    running.run()
    assert bool(running.deferrals) == (setting == "True")


def test_without_an_index_it_says_what_to_do(serve: Serve, worker: Make) -> None:
    fake = milvus()
    fake.indexes.clear()
    with pytest.raises(AirflowFailException, match=r"no index in 'docs'\. .*\(CreateIndexOperator\)\. .*code 700"):
        worker(LoadCollectionOperator, serve(fake)).run()


@pytest.mark.parametrize("operator", [LoadCollectionOperator, ReleaseCollectionOperator])
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"collection_name": "nope"}, "code 100"),
        # Early servers mean success by 200, and all of them mean "partition not found".
        ({"partition_names": ["a", "nope"]}, "code 200"),
    ],
)
def test_what_is_not_there(
    operator: type[Any], arguments: dict[str, Any], words: str, serve: Serve, worker: Make, clock: Clock
) -> None:
    fake = milvus(loaded={"b"})
    with pytest.raises(AirflowFailException, match=words):
        worker(operator, serve(fake), **arguments).run()
    assert fake.loaded == {"b"}


@pytest.mark.parametrize("operator", [LoadCollectionOperator, ReleaseCollectionOperator])
@pytest.mark.parametrize(
    ("rendered", "words"),
    [
        ({"collection_name": ""}, "collection_name is ''"),
        ({"collection_name": None}, "collection_name is None"),
        ({"partition_names": ["a", ""]}, r"partition_names\[1\] is ''"),
        ({"partition_names": " "}, "partition_names is ' '"),
        ({"partition_names": []}, "partition_names is an empty list"),
    ],
)
def test_what_cannot_be_done(
    operator: type[Any], rendered: dict[str, Any], words: str, serve: Serve, operating: Operating
) -> None:
    fake = milvus(loaded={"b"})
    operating.connect(serve(fake))
    task = operator(task_id="task", collection_name="docs")
    vars(task).update(rendered)
    with pytest.raises(AirflowFailException, match=words):
        operating.execute(task)
    assert fake.changes == []
    with pytest.raises(ValueError, match=f"task again: {words}"):
        operator(**{"task_id": "again", "collection_name": "docs", **rendered})


def test_too_late(serve: Serve, worker: Make, clock: Clock, deferrable: bool) -> None:
    running = worker(LoadCollectionOperator, serve(milvus()), timeout=timedelta(seconds=30), deferrable=deferrable)

    with pytest.raises(AirflowException, match=r"30 s \(timeout\): docs: loading, 40%\. A retry") as caught:
        running.run()
    assert not isinstance(caught.value, AirflowFailException)
    assert 30 <= clock.elapsed < 31

    clock.sleep(60)
    assert running.run()["load_state"] == "LoadStateLoaded"


def test_the_collection_is_dropped_meanwhile(serve: Serve, worker: Make, clock: Clock, deferrable: bool) -> None:
    fake = milvus()

    def script(request: Any) -> Any:
        return error(100, "can't find collection") if clock.elapsed > 20 else fake(request)

    text = r"^Collection 'docs' does not exist\. Another client dropped it during the wait\. .*code 100"
    with pytest.raises(AirflowFailException, match=text):
        worker(LoadCollectionOperator, serve(script), deferrable=deferrable).run()


@pytest.mark.parametrize("given", [None, ["b"]])
@pytest.mark.parametrize("again", [False, True])
def test_another_client_releases_meanwhile(
    again: bool, given: Any, serve: Serve, worker: Make, clock: Clock, deferrable: bool
) -> None:
    fake = milvus(takes={"load": 90.0}, loaded={"a"} if given else set())

    def script(request: Any) -> Any:
        if 20 < clock.elapsed < 60:
            fake.loaded -= set(given or PARTITIONS)
        elif clock.elapsed > 60 and again:
            fake._load(PARTITIONS)
        return fake(request)

    running = worker(LoadCollectionOperator, serve(script), partition_names=given, deferrable=deferrable)

    if again:
        assert running.run()["load_state"] == "LoadStateLoaded"
        return
    with pytest.raises(AirflowException) as caught:
        running.run()
    assert not isinstance(caught.value, AirflowFailException)  # a retry loads it
    text = "the load has ended early: another client released it, or Milvus gave up. Load it again."
    assert str(caught.value).startswith(text)
    assert 320 <= clock.elapsed <= 350
    assert running.run()["load_state"] == "LoadStateLoaded"


@pytest.mark.parametrize(
    ("operator", "before", "after"),
    [
        (LoadCollectionOperator, "LoadStateNotLoad", "LoadStateLoaded"),
        (ReleaseCollectionOperator, "LoadStateLoaded", "LoadStateNotLoad"),
    ],
)
def test_what_is_queued_for_long_and_an_outage_are_not_another_client(
    operator: type[Any], before: str, after: str, serve: Serve, worker: Make, clock: Clock, deferrable: bool
) -> None:
    loaded = set() if operator is LoadCollectionOperator else set(PARTITIONS)
    fake = milvus(takes={"load": 600.0, "release": 600.0}, loaded=loaded)

    def script(request: Any) -> Any:
        if request.path != "collections/get_load_state" or clock.elapsed > 550:
            return fake(request)
        if 250 < clock.elapsed < 400:
            return error(1, "service not ready[querycoord=1]")
        return ok({"loadState": before})

    running = worker(operator, serve(script), deferrable=deferrable)
    assert running.run()["load_state"] == after


@pytest.mark.parametrize("bad", [{"poll_interval": 0}, {"timeout": -1}, {"timeout": "soon"}])
def test_what_can_never_be_right(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        LoadCollectionOperator(task_id="it", collection_name="docs", **bad)


def test_the_asset_is_told(serve: Serve, worker: Make, clock: Clock) -> None:
    asset = Asset("milvus://localhost/default/docs")
    running = worker(LoadCollectionOperator, serve(milvus()), outlets=[asset])
    told: dict[str, Any] = {}

    class Events:
        def __getitem__(self, outlet: Asset) -> Any:
            assert outlet is asset
            return SimpleNamespace(extra=told)

    context = {**running.context(), "outlet_events": Events()}

    result = running.make().execute(context)

    assert told["loading"] == result
