"""Sensors: what they wait for, in all three modes, and what they are in a DAG."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_vectordb._compat import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
)
from airflow_vectordb.sensors.milvus import CollectionLoadSensor, IndexSensor
from tests.support.drivers import AirflowRescheduleException, DeferrableSensor, Driver
from tests.support.fake_milvus import BUILT, NO_COLLECTION, FakeMilvus, indexed, rows, told
from tests.support.harness import Clock, Logged, Looks, Operating
from tests.support.loading_milvus import LoadingMilvus
from tests.support.scripted import Behaviour, Request, Serve, error, ok, page
from tests.support.sensors import index_sensor, load_sensor

MODES: dict[str, dict[str, Any]] = {
    "poke": {"mode": "poke"},
    "reschedule": {"mode": "reschedule"},
    "deferrable": {"deferrable": True},
}


@pytest.fixture(autouse=True)
def no_real_pause(clock: Clock) -> Iterator[None]:
    yield
    assert clock.elapsed == pytest.approx(sum(clock.naps))


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> dict[str, Any]:
    return MODES[request.param]


@pytest.fixture
def runner(operating: Operating, clock: Clock) -> Driver:
    """Finish any sensor, as Airflow does."""
    return DeferrableSensor(operating, clock)


# Indexes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "waited_for"),
    [("vector", ["vector"]), (["label", "vector"], ["label", "vector"]), (None, ["vector", "label"])],
)
def test_one_index_several_or_all(
    names: Any, waited_for: list[str], mode: dict[str, Any], serve: Serve, runner: Driver, clock: Clock
) -> None:
    ends = {"vector": 60, "label": 200}
    milvus = FakeMilvus(progress=lambda name: BUILT if clock.elapsed > ends[name] else rows(7))
    milvus.add("vector", M=16, efConstruction=200)
    milvus.add("label", "INVERTED", "")
    runner.operating.connect(serve(milvus))

    result = runner.finish(index_sensor(index_name=names, **mode))

    assert [index["index_name"] for index in result] == waited_for
    assert result == [{**index, "state": "Finished", "pending_rows": 0} for index in result]
    end = max(ends[name] for name in waited_for)
    assert end < clock.elapsed <= end + 31


@pytest.mark.parametrize("names", ["vector", None])
def test_what_is_not_there_yet_is_waited_for(
    names: str | None, mode: dict[str, Any], serve: Serve, runner: Driver, clock: Clock, logged: Logged
) -> None:
    milvus = indexed(*[rows(9)] * 3, BUILT)

    def script(request: Any) -> Behaviour:
        if clock.elapsed < 100:
            return NO_COLLECTION
        if clock.elapsed < 200:
            return error(700, "index not found") if request.path == "indexes/describe" else ok([])
        return milvus(request)

    runner.operating.connect(serve(script))

    (index,) = runner.finish(index_sensor(index_name=names, **mode))

    assert index["index_name"] == "vector"
    assert 200 < clock.elapsed < 330
    told_of = "docs/vector" if names else "docs"
    assert f"{told_of}: not there yet (the collection does not exist)" in logged.of("info")
    assert f"{told_of}: not there yet" in logged.of("info")
    assert logged.of("warning") == []


def test_a_database_that_is_not_there(mode: dict[str, Any], serve: Serve, runner: Driver) -> None:
    server = serve(error(800, "database not found[database=boks]"))
    runner.operating.connect(server)
    with pytest.raises(AirflowFailException, match=r"^Database 'boks' .*schema field.*task wait: .*'boks'.*code 800"):
        runner.finish(index_sensor(database="boks", **mode))
    assert len(server.requests) == 1
    assert server.requests[0].body["dbName"] == "boks"


# Loading ------------------------------------------------------------------------------------------------------------


def load_state(state: str, progress: int | None = None) -> Behaviour:
    return ok({"loadState": f"LoadState{state}", **({} if progress is None else {"loadProgress": progress})})


@pytest.mark.parametrize(("given", "names"), [(None, []), ("p", ["p"]), (["p", "q"], ["p", "q"])])
def test_loading(
    given: Any, names: list[str], mode: dict[str, Any], serve: Serve, runner: Driver, clock: Clock
) -> None:
    answers = [
        load_state("NotExist"),
        NO_COLLECTION,
        load_state("NotLoad"),
        load_state("Loading", 5),
        load_state("Loading", 100),
        load_state("Loaded", 50),
        load_state("Loaded", 100),
    ]
    server = serve({"collections/get_load_state": answers, "partitions/list": ok(names or ["_default"])})
    runner.operating.connect(server)

    result = runner.finish(load_sensor(partition_names=given, **mode))

    assert result == {"collection_name": "docs", "partition_names": names, "load_state": "LoadStateLoaded"}
    assert server.paths.count("collections/get_load_state") == 7
    assert all(body.get("partitionNames", []) == names for body in server.bodies("collections/get_load_state"))
    assert min(clock.naps[1:]) >= 0.4 - 1e-6


@pytest.mark.parametrize("loaded", [{"_default"}, set[str]()])
def test_a_partition_that_is_not_there_yet(
    loaded: set[str], mode: dict[str, Any], serve: Serve, runner: Driver, clock: Clock, logged: Logged
) -> None:
    """Milvus says no more than "not loaded" of it, or "loading" when the collection is loaded."""
    fake = LoadingMilvus(loaded=loaded)
    fake.add("vector")

    def script(request: Request) -> Behaviour:
        if clock.elapsed > 300 and "nope" not in fake.partitions:
            fake.partitions.append("nope")
            fake.loaded.add("nope")
        return fake(request)

    runner.operating.connect(serve(script))

    assert runner.finish(load_sensor(partition_names=["nope"], **mode))["load_state"] == "LoadStateLoaded"

    assert clock.elapsed > 300
    assert any("partition 'nope' of 'docs' does not exist; there is _default" in line for line in logged.of("info"))


def test_what_others_release_is_waited_for(mode: dict[str, Any], serve: Serve, runner: Driver, clock: Clock) -> None:
    def state(request: Request) -> Behaviour:
        if clock.elapsed > 1_000:
            return load_state("Loaded", 100)
        return load_state("NotLoad") if clock.elapsed > 60 else load_state("Loading", 5)

    runner.operating.connect(serve({"collections/get_load_state": state, "partitions/list": ok(["_default"])}))
    runner.finish(load_sensor(**mode))
    assert clock.elapsed > 1_000


def test_too_late_names_the_partition_that_is_not_there(mode: dict[str, Any], serve: Serve, runner: Driver) -> None:
    fake = LoadingMilvus(loaded={"_default"}, partitions=["_default", "p1"])
    runner.operating.connect(serve(fake))
    with pytest.raises(AirflowSensorTimeout, match="partition 'nope' of 'docs' does not exist; there is _default, p1"):
        runner.finish(load_sensor(partition_names=["p1", "nope"], timeout=60, **mode))


def test_a_partition_that_is_released_while_another_is_loaded(
    mode: dict[str, Any], serve: Serve, runner: Driver, clock: Clock, logged: Logged
) -> None:
    fake = LoadingMilvus(loaded={"_default"}, partitions=["_default", "p1"])
    fake.add("vector")

    def script(request: Request) -> Behaviour:
        if clock.elapsed > 300:
            fake.loaded.add("p1")
        return fake(request)

    runner.operating.connect(serve(script))
    # The collection is loaded, says the server, as soon as one of its partitions is.
    runner.finish(load_sensor(**mode))

    assert clock.elapsed > 300
    words = "docs: some of its partitions are not loaded (partition not loaded[partition=p1].)"
    assert any(words in line for line in logged.of("info"))


# Ends ---------------------------------------------------------------------------------------------------------------


def test_too_late_says_how_far_it_was(mode: dict[str, Any], serve: Serve, runner: Driver, clock: Clock) -> None:
    server = serve(indexed(rows(30_000)))
    runner.operating.connect(server)
    with pytest.raises(AirflowSensorTimeout) as caught:
        runner.finish(index_sensor(timeout=timedelta(minutes=10), **mode))
    for word in ("task wait: ", "'docs'", "'vector'", server.url, "70,000 of 100,000 rows (70%)", "Clear the task"):
        assert word in str(caught.value)
    assert 600 <= clock.elapsed <= 631


def test_too_late_within_an_outage(mode: dict[str, Any], serve: Serve, runner: Driver, clock: Clock) -> None:
    server = serve(lambda request: page(503, "Down for maintenance"))
    runner.operating.connect(server)
    with pytest.raises(AirflowSensorTimeout, match=r"the last error was: .*HTTP 503.*Down for maintenance"):
        runner.finish(index_sensor(timeout=100, **mode))
    assert len(server.requests) == len(clock.naps) + 1  # each poll is one request: the next poll is the retry
    if mode.get("mode") == "reschedule":
        assert clock.naps == pytest.approx([30.0] * 4)


@pytest.mark.parametrize("flag", ["soft_fail", "never_fail"])
@pytest.mark.parametrize("end", ["too late", "permanent"])
def test_skipped_instead_of_failed(
    end: str, flag: str, mode: dict[str, Any], serve: Serve, runner: Driver, clock: Clock
) -> None:
    server = serve(indexed(rows(7)) if end == "too late" else error(1800, "who are you?", 401))
    runner.operating.connect(server)
    expected: type[Exception] = AirflowSkipException
    if (end, flag, mode.get("mode")) == ("too late", "never_fail", "reschedule"):
        expected = AirflowSensorTimeout  # Airflow itself counts there, and sees it so
    words = "not done within 1 min|7 rows|rows" if end == "too late" else "does not accept the credentials"
    with pytest.raises(expected, match=words) as caught:  # it is all that a log of a skipped task has
        runner.finish(index_sensor(timeout=60, **{flag: True}, **mode))
    assert "Skipping due to" not in str(caught.value)


def test_a_failed_build_ends_it(mode: dict[str, Any], serve: Serve, runner: Driver) -> None:
    server = serve(indexed(rows(9), {**rows(9, "Failed"), "failReason": "disk full"}))
    runner.operating.connect(server)
    with pytest.raises(AirflowFailException, match="disk full"):
        runner.finish(index_sensor(**mode))
    assert len(server.requests) == 2


# Reschedule, by Airflow's own hands ---------------------------------------------------------------------------------


def test_rescheduled_by_airflow(serve: Serve, operating: Operating, clock: Clock) -> None:
    server = serve(indexed(rows(9), BUILT))
    operating.connect(server)
    sensor = index_sensor(mode="reschedule", poke_interval=timedelta(minutes=2))
    assert sensor.reschedule
    dates: list[Any] = [None, clock.utcnow()]
    context: Any = {"ti": SimpleNamespace(try_number=1, get_first_reschedule_date=lambda context: dates[0])}

    with pytest.raises(AirflowRescheduleException) as caught:
        sensor.execute(context)
    assert caught.value.reschedule_date.timestamp() == clock.now + 120
    assert clock.naps == []
    del dates[0]
    assert sensor.execute(context)[0]["index_name"] == "vector"
    assert len(server.requests) == 2
    assert server.connections == 2


def test_partitions_that_the_user_may_not_list(
    mode: dict[str, Any], serve: Serve, runner: Driver, clock: Clock
) -> None:
    fake = LoadingMilvus(loaded={"_default"}, partitions=["_default", "p1"])
    fake.add("vector")
    denied = "PrivilegeShowPartitions: permission deny to U in the `default` database"

    def script(request: Request) -> Behaviour:
        if clock.elapsed > 300:
            fake.loaded.add("p1")
        return error(65535, denied, 403) if request.path == "partitions/list" else fake(request)

    runner.operating.connect(serve(script))
    assert runner.finish(load_sensor(partition_names=["p1"], **mode))["load_state"] == "LoadStateLoaded"
    assert clock.elapsed > 300


def test_what_one_process_sees_again_and_again_is_told_once(
    serve: Serve, operating: Operating, clock: Clock, logged: Logged
) -> None:
    answers = [ok({"loadState": "LoadStateNotLoad"})] * 20 + [ok({"loadState": "LoadStateLoaded", "loadProgress": 100})]
    operating.connect(serve({"collections/get_load_state": answers, "partitions/list": ok(["_default"])}))
    operating.execute(load_sensor(exponential_backoff=True))
    assert logged.of("info").count("docs: not loaded") == 1


def test_each_execution_begins_a_wait_of_its_own(serve: Serve, operating: Operating, clock: Clock) -> None:
    """Tests of a DAG may run the same task again, with other values."""
    sensor = index_sensor(exponential_backoff=True, index_name="vector")
    for name in ("vector", "label"):
        sensor.index_name = name
        milvus = FakeMilvus(progress=told(rows(9), BUILT))
        milvus.add("vector", M=16, efConstruction=200)
        milvus.add("label", M=16, efConstruction=200)
        operating.connect(serve(milvus))
        (index,) = operating.execute(sensor)
        assert index["index_name"] == name


@pytest.mark.parametrize("rescheduled", [False, True])
def test_a_poke_that_meets_a_page(rescheduled: bool, serve: Serve, operating: Operating, clock: Clock) -> None:
    operating.connect(serve(page(200)))
    sensor = index_sensor(mode="reschedule")
    date = clock.utcnow() if rescheduled else None
    context: Any = {"ti": SimpleNamespace(try_number=1, get_first_reschedule_date=lambda context: date)}
    # The first one may have the wrong address; a later one follows one that had not.
    with pytest.raises(AirflowRescheduleException if rescheduled else AirflowFailException):
        sensor.execute(context)


def test_airflows_backoff_is_kept(serve: Serve, operating: Operating, clock: Clock) -> None:
    seen = Looks(clock, indexed(rows(9), rows(9), rows(9), rows(9), BUILT))
    operating.connect(serve(seen))
    sensor = index_sensor(exponential_backoff=True, poke_interval=10, max_wait=30)
    sensor.execute({"ti": SimpleNamespace(try_number=1)})  # type: ignore[typeddict-item]
    assert len(seen.times) == 5
    assert min(seen.gaps) >= 1
    assert max(seen.gaps) <= 30


# In a DAG -----------------------------------------------------------------------------------------------------------


def test_templates(serve: Serve, runner: Driver) -> None:
    server = serve(indexed(BUILT))
    runner.operating.connect(server)
    with DAG("d", schedule=None):
        sensor = IndexSensor(
            task_id="wait",
            collection_name="{{ c }}",
            index_name=["{{ i }}"],
            database="{{ d }}",
            milvus_conn_id="{{ m }}",
        )
        load = CollectionLoadSensor(task_id="load", collection_name="{{ c }}", partition_names="{{ i }}")
    context: Any = {"c": "docs", "i": "vector", "d": "books", "m": "milvus_default"}
    sensor.render_template_fields(context)
    load.render_template_fields(context)
    assert (load.collection_name, load.partition_names) == ("docs", "vector")
    runner.finish(sensor)
    assert server.requests[0].body == {"dbName": "books", "collectionName": "docs", "indexName": "vector"}


@pytest.mark.parametrize(
    ("kind", "rendered"),
    [
        (index_sensor, {"collection_name": ""}),
        (index_sensor, {"index_name": ["vector", " "]}),
        (index_sensor, {"index_name": [None]}),
        (load_sensor, {"collection_name": None}),
        (load_sensor, {"partition_names": ["p", "\n"]}),
    ],
)
def test_templates_that_render_to_nothing(
    kind: Callable[..., Any], rendered: dict[str, Any], mode: dict[str, Any], runner: Driver
) -> None:
    runner.operating.connect("http://127.0.0.1:1")
    sensor = kind(**mode)
    vars(sensor).update(rendered)
    with pytest.raises(AirflowFailException, match="did its template render to nothing"):
        runner.finish(sensor)


# What was found -----------------------------------------------------------------------------------------------------


def test_what_was_found_is_in_the_log(mode: dict[str, Any], serve: Serve, runner: Driver, logged: Logged) -> None:
    runner.operating.connect(serve(indexed(rows(9), rows(9), BUILT)))
    runner.finish(index_sensor(**mode))
    found = [line for line in logged.of("info") if line.startswith("docs/vector: HNSW, COSINE, ")]
    assert len(found) == 1
    assert "100,000 of 100,000 rows indexed" in found[0]


def test_a_line_of_progress_is_in_the_log_once(
    mode: dict[str, Any], serve: Serve, runner: Driver, logged: Logged
) -> None:
    runner.operating.connect(serve(indexed(*[rows(9)] * 3, *[rows(5)] * 3, BUILT)))
    runner.finish(index_sensor(**mode))
    if mode.get("mode") != "reschedule":  # each of its polls is a process of its own, and their logs are
        for pending in ("9", "5"):
            (line,) = [line for line in logged.of("info") if f"{100_000 - int(pending):,} of 100,000 rows" in line]
            assert line.startswith("docs/vector: ")


def test_what_is_loaded_is_in_the_log(mode: dict[str, Any], serve: Serve, runner: Driver, logged: Logged) -> None:
    runner.operating.connect(serve({"collections/get_load_state": load_state("Loaded", 100)}))
    runner.finish(load_sensor(partition_names=["p", "q"], **mode))
    assert logged.of("info").count("docs: loaded (partitions: p, q)") == 1
