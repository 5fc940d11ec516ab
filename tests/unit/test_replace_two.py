"""Two tasks that replace the index of one collection at the same time, at each interleaving."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests

from airflow_vectordb._compat import AirflowException, AirflowFailException
from airflow_vectordb.operators.index import CreateIndexOperator
from tests.support.harness import HNSW, Clock, Operating
from tests.support.loading_milvus import LoadingMilvus, Worker
from tests.support.scripted import Behaviour, Serve

WIDER = {**HNSW, "params": {"M": 32, "efConstruction": 200}}
WIDEST = {**HNSW, "params": {"M": 64, "efConstruction": 200}}


@dataclass
class Variables:
    """Airflow's Variables, which all tasks share."""

    kept: dict[str, Any] = field(default_factory=dict)

    def get(self, name: str, default: Any = None, deserialize_json: bool = False) -> Any:
        return self.kept.get(name, default)

    def set(self, name: str, value: Any, description: str = "", serialize_json: bool = False) -> None:
        self.kept[name] = value

    def delete(self, name: str) -> None:
        self.kept.pop(name, None)


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> Variables:
    found = Variables()
    monkeypatch.setattr("airflow_vectordb.retry_state.sdk.Variable", found)
    return found


@dataclass
class Building(LoadingMilvus):
    """Counts the indexes that it builds."""

    builds: int = 0

    def _create(self, body: Mapping[str, Any]) -> Behaviour:
        before = dict(self.indexes)
        answer = super()._create(body)
        self.builds += before != self.indexes
        return answer


@dataclass
class Turns:
    """Stops each thread before its n-th request, until it may go on."""

    stops: dict[str, int]
    stopped: dict[str, threading.Event] = field(default_factory=dict)
    go_on: dict[str, threading.Event] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("A", "B"):
            self.stopped[name], self.go_on[name] = threading.Event(), threading.Event()

    def take_effect(self, monkeypatch: pytest.MonkeyPatch) -> None:
        send = requests.adapters.HTTPAdapter.send

        def sending(*args: Any, **kwargs: Any) -> Any:
            self.before()
            return send(*args, **kwargs)

        monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", sending)

    def before(self) -> None:
        name = threading.current_thread().name
        if name not in self.stopped:
            return
        self.counts[name] = self.counts.get(name, 0) + 1
        if self.counts[name] == self.stops.get(name):
            self.stopped[name].set()
            assert self.go_on[name].wait(30)


@dataclass
class Racer:
    worker: Worker
    name: str
    turns: Turns
    outcome: list[Any] = field(default_factory=list)
    thread: threading.Thread | None = None

    def start(self) -> None:
        def run() -> None:
            try:
                self.outcome.append(self.worker.run())
            except Exception as error:  # noqa: BLE001 - it is the outcome
                self.outcome.append(error)
            finally:
                self.turns.stopped[self.name].set()

        self.thread = threading.Thread(target=run, name=self.name)
        self.thread.start()
        assert self.turns.stopped[self.name].wait(30)

    def finish(self) -> Any:
        """Let it go on to its end; return its result, or its error."""
        if self.thread is None:
            self.start()
        assert self.thread is not None
        self.turns.go_on[self.name].set()
        self.thread.join(30)
        assert not self.thread.is_alive()
        return self.outcome[-1]


def racers(first: Any, second: Any, monkeypatch: pytest.MonkeyPatch, turns: Turns) -> tuple[Racer, Racer]:
    def make(spec: Any) -> Callable[[], CreateIndexOperator]:
        given: dict[str, Any] = {"collection_name": "docs", "index_params": [spec], "if_exists": "replace"}
        return lambda: CreateIndexOperator(task_id="index", deferrable=False, **given)

    return (
        Racer(Worker(make(first), monkeypatch), "A", turns),
        Racer(Worker(make(second), monkeypatch), "B", turns),
    )


def retried(racer: Racer, result: Any) -> Any:
    """Retry as Airflow does, with a few tries: after transient errors only."""
    for _ in range(3):
        if not isinstance(result, AirflowException) or isinstance(result, AirflowFailException):
            break
        result = racer.worker.run()
    return result


@pytest.mark.parametrize("other", [WIDER, WIDEST], ids=["the same index", "another index"])
@pytest.mark.parametrize("number", range(1, 20))
def test_one_does_all_before_a_request_of_the_other(
    number: int,
    other: dict[str, Any],
    serve: Serve,
    operating: Operating,
    variables: Variables,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = Building(loaded={"_default"}, takes={"build": 10.0})
    fake.add("vector", M=16, efConstruction=200)
    operating.connect(serve(fake))
    turns = Turns({"A": number})
    turns.take_effect(monkeypatch)
    a, b = racers(WIDER, other, monkeypatch, turns)
    a.start()
    b_result = retried(b, b.finish())
    a_result = retried(a, a.finish())

    assert turns.counts["A"] >= number
    assert isinstance(b_result, list), b_result
    m = fake.indexes["vector"]["params"]["M"]
    if isinstance(a_result, AirflowFailException):
        assert "another client's index is there" in str(a_result)[:100]
        assert (m, other) == ("64", WIDEST)
    else:
        assert a_result[0]["params"]["M"] == 32
    if other is WIDER:
        assert fake.builds == 1
    assert fake.loaded == {"_default"}
    assert (a.worker.store, b.worker.store, variables.kept) == ({}, {}, {})
