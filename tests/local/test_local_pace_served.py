"""The pace of a cluster on a server in a process of its own; what shows when is in test_local_pace."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_vectordb.local import LocalMilvus, Pace
from tests.support.backend_engine import lite_engine
from tests.support.local_api import INDEX, SPARSE, Api, make
from tests.support.serving import announced, serve

pytestmark = pytest.mark.slow  # each starts a server

Connect = Callable[[LocalMilvus], Api]

# Quick, for the tests; and so slow that nothing ends in their time.
QUICK = Pace(row_count=0.1, total_rows=0.3, issue=0.2, build=0.6, build_per_1000=0, load=0.5, flush_interval=0)
ENDLESS = "real,row_count=1000,total_rows=1000,issue=1000,build=1000,load=1000,flush_interval=1000"
NEAREST = {"data": [[3, 1, 0, 0]], "annsField": "v", "limit": 1, "outputFields": ["label"]}


def described(api: Api, collection: str) -> tuple[str, int, int, int]:
    (index,) = api.ok("indexes/describe", collectionName=collection, indexName="v")
    return index["indexState"], index["totalRows"], index["indexedRows"], index["pendingRows"]


def sample(look: Callable[[], Any], until: Callable[[Any], bool]) -> list[Any]:
    """What is seen, each once, until something is."""
    seen: list[Any] = []
    deadline = time.monotonic() + 60
    while not seen or not until(seen[-1]):
        assert time.monotonic() < deadline, seen
        if (found := look()) not in seen[-1:]:
            seen.append(found)
        time.sleep(0.01)
    return seen


@pytest.fixture(scope="module")
def quick() -> Iterator[Api]:
    with LocalMilvus(pace=QUICK) as running:
        client = Api(running.uri, running.token)
        with client:
            yield client


def test_from_a_flush_to_a_load(quick: Api) -> None:
    make(quick, "c")
    quick.ok("indexes/create", collectionName="c", indexParams=[INDEX, SPARSE])
    quick.ok("collections/flush", collectionName="c")
    # On a busy machine some of what is between beginning and end is not seen.
    counted = sample(lambda: quick.ok("collections/get_stats", collectionName="c")["rowCount"], bool)
    assert counted == [0, 10][-len(counted) :]
    states = sample(lambda: described(quick, "c"), lambda found: found == ("Finished", 10, 10, 0))
    # Sealed, all of it to be built; and then less and less.
    sealed = [state for state in states if state != ("Finished", 0, 0, 0)]
    assert states[-len(sealed) :] == sealed
    assert {(state, total) for state, total, *_ in sealed} == {("Finished", 10)}
    pending = [rows for *_, rows in sealed]
    assert pending == sorted(pending, reverse=True)
    quick.ok("collections/load", collectionName="c")
    loading = sample(
        lambda: quick.ok("collections/get_load_state", collectionName="c"), lambda at: at["loadProgress"] == 100
    )
    assert loading[-1]["loadState"] == "LoadStateLoaded"
    assert {one["loadState"] for one in loading[:-1]} <= {"LoadStateLoading"}
    percents = [one["loadProgress"] for one in loading]
    assert percents == sorted(percents)


def test_an_index_over_sealed_rows(quick: Api) -> None:
    make(quick, "d")
    quick.ok("collections/flush", collectionName="d")
    sample(lambda: quick.ok("collections/get_stats", collectionName="d")["rowCount"], bool)
    time.sleep(0.3)
    quick.ok("indexes/create", collectionName="d", indexParams=[INDEX])
    states = sample(lambda: described(quick, "d"), lambda found: found == ("Finished", 10, 10, 0))
    seen = list(dict.fromkeys(state for state, *_ in states))
    assert seen == [state for state in ("Unissued", "InProgress", "Finished") if state in seen]
    assert {total for _, total, *_ in states} == {10}


def test_data_is_there_all_the_while_and_all_is_finished_after_a_restart(tmp_path: Path, connect: Connect) -> None:
    server = LocalMilvus(tmp_path, pace=ENDLESS)
    with server:
        api = connect(server)
        make(api, "c")
        api.ok("indexes/create", collectionName="c", indexParams=[INDEX, SPARSE])
        api.ok("collections/load", collectionName="c")
        started = time.monotonic()
        api.ok("collections/flush", collectionName="c")
        assert time.monotonic() - started < 60
        for path in ("collections/flush", "collections/flush"):
            assert "rate limit exceeded[rate=0.001]" in api.fails(path, collectionName="c")[1]
        # What is told takes a thousand seconds; what is there does not.
        assert api.ok("collections/get_stats", collectionName="c") == {"rowCount": 0}
        assert api.ok("collections/get_load_state", collectionName="c")["loadProgress"] == 0
        assert described(api, "c") == ("Finished", 0, 0, 0)
        assert api.ok("entities/query", collectionName="c", outputFields=["count(*)"]) == [{"count(*)": 10}]
        assert api.ok("entities/search", collectionName="c", **NEAREST)[0]["label"] == "r3"
        server.kill()
    with server:
        api = connect(server)
        assert api.ok("collections/get_stats", collectionName="c") == {"rowCount": 10}
        assert api.ok("collections/get_load_state", collectionName="c")["loadState"] == "LoadStateLoaded"
        assert described(api, "c") == ("Finished", 10, 10, 0)
        api.ok("collections/flush", collectionName="c")


def test_in_front_of_another_engine(tmp_path: Path) -> None:
    with (
        lite_engine(tmp_path / "data") as engine,
        LocalMilvus(backend=f"http://127.0.0.1:{engine.port}", token=None, pace=ENDLESS) as server,
    ):
        api = Api(server.uri, "ada:Lovelace1")
        with api:
            make(api, "c")
            api.ok("indexes/create", collectionName="c", indexParams=[INDEX, SPARSE])
            api.ok("collections/load", collectionName="c")
            api.ok("collections/flush", collectionName="c")
            assert api.fails("collections/flush", collectionName="c")[0] == 1807
            assert api.ok("collections/get_stats", collectionName="c") == {"rowCount": 0}
            assert described(api, "c") == ("Finished", 0, 0, 0)
            assert api.ok("entities/search", collectionName="c", **NEAREST)[0]["label"] == "r3"
            # Whoever asks, it is asked for with what he or she is let in with.
            assert {one.caller for one in engine.sent} == {"ada:Lovelace1"}


def test_on_the_command_line(tmp_path: Path) -> None:
    with serve("--data", str(tmp_path / "data"), "--port", "0", "--pace", "real,build=8") as process:
        assert "Flushes, index builds and loads take their time, as on a cluster." in announced(process)
    with serve("--data", str(tmp_path / "data"), "--pace", "slow") as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "a pace is immediate, quick or real" in errors


def test_by_default_a_call_returns_before_what_it_began_is_done(connect: Connect) -> None:
    with LocalMilvus() as server:
        api = connect(server)
        api.ok("collections/create", collectionName="quick", dimension=4)
        make(api, "c")
        api.ok("indexes/create", collectionName="c", indexParams=[INDEX, SPARSE])
        for _ in range(3):
            api.ok("collections/flush", collectionName="c")
        seen = sample(lambda: described(api, "c"), lambda found: found[1] == 10)
        assert seen == [("Finished", 0, 0, 0), ("Finished", 10, 10, 0)][-len(seen) :]
        assert api.ok("collections/get_stats", collectionName="c") == {"rowCount": 10}
        assert api.ok("collections/get_load_state", collectionName="quick")["loadState"] == "LoadStateLoaded"


def test_immediately_nothing_takes_time(api: Api, name: str) -> None:
    make(api, name)
    for _ in range(3):
        api.ok("collections/flush", collectionName=name)
    assert api.ok("collections/get_stats", collectionName=name) == {"rowCount": 10}


@pytest.mark.parametrize("pace", ["slow", "real,build=x"])
def test_what_is_no_pace_is_refused_before_the_start(pace: str) -> None:
    with pytest.raises(ValueError, match="pace"):
        LocalMilvus(pace=pace)
