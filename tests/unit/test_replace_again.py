"""Replacing an index, interrupted at each step: the retry ends where an undisturbed task ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_vectordb._compat import AirflowException, AirflowFailException
from tests.support.fake_milvus import Lost
from tests.support.harness import Clock, Operating
from tests.support.loading_milvus import WIDER, LoadingMilvus, Make, let_the_loop_sleep_by, m, maker, milvus
from tests.support.scripted import Behaviour, CutOff, Request, Serve, error, page

#: Seconds, so that each wait needs one poll more.
pytestmark = pytest.mark.slow

SLOW = {"release": 0.3, "build": 0.3, "load": 0.3}
WHAT = {"whole": {"_default", "a", "b"}, "partitions": {"a", "b"}, "nothing": set[str]()}
#: How an answer gets lost, or is none.
FAULTS: dict[str, Callable[[], Behaviour | Lost]] = {
    "done, but not heard of": lambda: Lost(CutOff(b"", reset=True)),
    "done, but half of the answer": lambda: Lost(CutOff()),
    "done, but 408": lambda: Lost(error(10001, "request timeout", 408)),
    "502": lambda: page(502),
    "rate limit": lambda: error(1807, "slow down"),
    "not ready": lambda: error(1, "service not ready"),
    "closed": lambda: CutOff(b""),
}


@pytest.fixture(autouse=True)
def simulated_time(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    let_the_loop_sleep_by(clock, monkeypatch)


@pytest.fixture
def worker(operating: Operating, monkeypatch: pytest.MonkeyPatch) -> Make:
    return maker(operating, monkeypatch)


def slow(loaded: set[str], **arguments: Any) -> LoadingMilvus:
    return milvus(partitions=["_default", "a", "b"], loaded=set(loaded), takes=dict(SLOW), **arguments)


def ended_well(fake: LoadingMilvus, loaded: set[str]) -> bool:
    states = {name for name in fake.partitions if fake._state_of(name) == "LoadStateLoaded"}
    return list(fake.indexes) == ["vector"] and m(fake) == "32" and states == loaded == fake.loaded


@pytest.mark.parametrize("what", WHAT)
@pytest.mark.parametrize("tells", [True, False], ids=["", "parameters not told"])
def test_killed_after_each_request(
    what: str, tells: bool, serve: Serve, worker: Make, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    calm = serve(slow(WHAT[what], tells=tells))
    worker(calm).run()
    count = len(calm.requests)
    assert count >= 8
    for number in range(1, count):
        fake = slow(WHAT[what], tells=tells)
        running = worker(serve(fake))
        with running.killed_after(number):
            running.run()

        (index,) = running.run()

        assert ended_well(fake, WHAT[what]), f"killed after request {number}"
        assert index["state"] == "Finished"
        assert running.store == {}


def test_killed_again_and_again(serve: Serve, worker: Make) -> None:
    fake = slow(WHAT["partitions"])
    running = worker(serve(fake))
    for number in (6, 9, 11, 5, 13, 8, 7):
        with running.killed_after(number):
            running.run()
    running.run()
    assert ended_well(fake, WHAT["partitions"])
    assert running.store == {}


def test_killed_between_deferrals(serve: Serve, worker: Make) -> None:
    calm = worker(serve(slow(WHAT["partitions"])), deferrable=True)
    calm.run()
    assert calm.deferrals == ["CollectionReleased", "IndexesBuilt", "CollectionLoaded"]
    for number in range(1, 20):  # requests of the worker; the trigger's are made by another client
        fake = slow(WHAT["partitions"])
        running = worker(serve(fake), deferrable=True)
        with running.killed_after(number):
            running.run()
        running.run()
        assert ended_well(fake, WHAT["partitions"]), f"killed after request {number}"
        assert running.store == {}


@pytest.mark.parametrize(
    ("fault", "what"), [*((fault, "whole") for fault in FAULTS), (next(iter(FAULTS)), "partitions")]
)
def test_an_outage_at_each_request(fault: str, what: str, serve: Serve, worker: Make) -> None:
    """The outage outlasts the hook's retries, so Airflow's retry has to finish it."""
    failed = 0
    calm = serve(slow(WHAT[what]))
    worker(calm).run()
    for number in range(1, len(calm.requests) + 1):
        fake = slow(WHAT[what])
        seen = [0]

        def script(request: Request, fake: LoadingMilvus = fake, number: int = number, seen: Any = seen) -> Behaviour:
            seen[0] += 1
            if number <= seen[0] < number + 3:  # the first attempt and two retries
                fake.faults = {request.path: [FAULTS[fault]()]}
            return fake(request)

        running = worker(serve(script))
        try:
            running.run()
        except AirflowException as caught:
            assert not isinstance(caught, AirflowFailException), f"request {number}"
            failed += 1
            running.run()
        assert ended_well(fake, WHAT[what]), f"request {number}"
        assert running.store == {}
    assert failed >= 8


def test_one_lost_answer_needs_no_retry_of_airflows(serve: Serve, worker: Make) -> None:
    for path in ("collections/release", "indexes/drop", "indexes/create", "collections/load"):
        fake = slow(WHAT["whole"], faults={path: [Lost(CutOff(b""))]})
        worker(serve(fake)).run()
        assert ended_well(fake, WHAT["whole"]), path


def test_the_retry_knows_even_if_it_began_with_something_else(serve: Serve, worker: Make) -> None:
    """The DAG is edited between the tries: what was there before the first one is what counts."""
    fake = slow(WHAT["partitions"])
    running = worker(serve(fake))
    with running.killed_after(15):
        running.run()
    assert fake.changes[-1] == "indexes/create"
    widest = {**WIDER, "params": {"M": 64, "efConstruction": 200}}
    server = serve(fake)
    fake.fails = lambda index: "too wide" if index["params"]["M"] == "64" else None
    other = worker(server, [widest])
    other.store, other.tries = running.store, 1

    with pytest.raises(AirflowFailException, match="index 'vector' is being built as it was"):
        other.run()

    assert (m(fake), fake.loaded, other.store) == ("16", WHAT["partitions"], {})


def test_an_alias_that_moves_between_the_tries(serve: Serve, worker: Make) -> None:
    fakes = {name: slow(WHAT["whole"], collection=name, aliases=("now",)) for name in ("docs", "docs_2")}
    leads_to = ["docs"]

    def script(request: Request) -> Behaviour:
        name = request.body.get("collectionName") or request.body["aliasName"]
        return fakes[leads_to[0] if name == "now" else name](request)

    running = worker(serve(script), collection_name="now")
    with running.killed_after(12):
        running.run()
    assert fakes["docs"].changes == ["collections/release", "indexes/drop"]
    leads_to[0] = "docs_2"

    running.run()

    assert (m(fakes["docs"]), fakes["docs"].loaded) == ("16", WHAT["whole"])
    assert ended_well(fakes["docs_2"], WHAT["whole"])
    assert running.store == {}


@pytest.mark.parametrize("gone_in", ["worker", "triggerer"])
def test_what_was_written_down_is_gone(gone_in: str, serve: Serve, worker: Make) -> None:
    """Nobody knows what was loaded: better to say so than to leave it released and call that success."""
    fake = slow(WHAT["whole"])
    running = worker(serve(lambda request: forget(request) or fake(request)), deferrable=gone_in == "triggerer")

    def forget(request: Request) -> None:
        if request.path == "indexes/create":
            assert running.store
            assert "loaded" in json.loads(dict.__getitem__(running.store, "airflow_vectordb.replace"))
            running.store.clear()

    with pytest.raises(AirflowException, match=r"for retries about collection 'docs' is gone\. Load it"):
        running.run()
