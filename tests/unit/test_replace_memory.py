"""What a retry finds on an Airflow without a task state store: an Airflow Variable, by Airflow's own class."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.execution_time import comms, task_runner
from airflow.sdk.execution_time.comms import DeleteVariable, ErrorResponse, GetVariable, PutVariable, VariableResult

from airflow_vectordb._compat import AirflowException
from airflow_vectordb.retry_state import RetryState
from tests.support.harness import Clock, Logged, Operating
from tests.support.loading_milvus import Make, Store, m, maker, milvus
from tests.support.scripted import ScriptedServer, Serve

FACT = {"collection": "docs", "loaded": ["a"], "indexes": []}


class Supervisor(dict[str, str]):
    """What a task's process talks to, as far as Variables go; ``away``: it cannot reach Airflow's API."""

    away = False
    read_only = False
    descriptions: list[str | None]

    def send(self, message: Any) -> Any:
        if self.away:
            # So does Airflow's own: a Variable that cannot be read is not found.
            return ErrorResponse(error=comms.ErrorType.VARIABLE_NOT_FOUND)
        if isinstance(message, GetVariable):
            if message.key not in self:
                return ErrorResponse(error=comms.ErrorType.VARIABLE_NOT_FOUND)
            return VariableResult(key=message.key, value=self[message.key])
        if isinstance(message, PutVariable):
            if not self.read_only:
                assert message.value is not None
                self[message.key] = message.value
            return None
        if isinstance(message, DeleteVariable):
            self.pop(message.key, None)
            return None
        return ErrorResponse(error=comms.ErrorType.CONNECTION_NOT_FOUND)


@pytest.fixture
def supervisor(monkeypatch: pytest.MonkeyPatch) -> Supervisor:
    made = Supervisor()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", made, raising=False)
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "client")
    return made


@pytest.fixture
def worker(operating: Operating, monkeypatch: pytest.MonkeyPatch) -> Make:
    return maker(operating, monkeypatch)


def memory(try_number: int = 1, **of: Any) -> RetryState:
    identity = {"dag_id": "d", "run_id": "manual__2026-01-01T00:00:00+00:00", "task_id": "t", "map_index": -1, **of}
    return RetryState({"ti": SimpleNamespace(try_number=try_number, **identity)}, "replace")  # type: ignore[typeddict-item]


def test_the_next_try_finds_it(supervisor: Supervisor) -> None:
    assert memory().get() is None
    memory().set(FACT)
    assert memory(2).get() == FACT
    (key,) = supervisor
    assert key.startswith("airflow_vectordb.replace.")
    assert all(char.isalnum() or char in "._" for char in key)
    memory(2).delete()
    assert memory(3).get() is None
    assert supervisor == {}


@pytest.mark.parametrize("other", [{"dag_id": "e"}, {"run_id": "2"}, {"task_id": "u"}, {"map_index": 0}])
def test_it_is_nobody_elses(other: dict[str, Any], supervisor: Supervisor) -> None:
    memory().set(FACT)
    assert memory(**other).get() is None
    memory(**other).delete()
    assert memory().get() == FACT


def test_what_cannot_be_written_stops_the_task(supervisor: Supervisor) -> None:
    supervisor.read_only = True
    with pytest.raises(AirflowException, match="could not be written"):
        memory().set(FACT)


def test_what_cannot_be_read_is_not_taken_for_nothing(supervisor: Supervisor) -> None:
    memory().set(FACT)
    supervisor.away = True
    with pytest.raises(AirflowException, match="could not be written"):
        memory(2).get()
    supervisor.away = False
    assert memory(2).get() == FACT


@pytest.mark.parametrize("number", range(1, 13))
def test_a_replacement_killed_and_tried_again(
    number: int, supervisor: Supervisor, serve: Serve, worker: Make, clock: Clock
) -> None:
    fake = milvus()
    running = worker(serve(fake))
    running.store = None
    with running.killed_after(number):
        running.run()
    # From the release on, until it is loaded again.
    assert bool(supervisor) == bool(fake.changes)

    running.run()

    assert (m(fake), fake.loaded, supervisor) == ("32", {"_default"}, {})


def test_nothing_is_touched_when_it_cannot_be_written(
    supervisor: Supervisor, serve: Serve, worker: Make, clock: Clock
) -> None:
    supervisor.read_only = True
    fake = milvus()
    running = worker(serve(fake))
    running.store = None
    with pytest.raises(AirflowException, match="could not be written"):
        running.run()
    assert fake.changes == []


def test_the_task_state_store_is_preferred(supervisor: Supervisor) -> None:
    store = Store()
    context: Any = {"ti": SimpleNamespace(try_number=1, dag_id="d", run_id="r", task_id="t"), "task_state_store": store}
    RetryState(context, "replace").set(FACT)
    assert supervisor == {}
    assert {key: json.loads(text) for key, text in store.items()} == {"airflow_vectordb.replace": FACT}


def test_a_fact_that_cannot_be_deleted_fails_no_replacement_that_is_done(
    serve: Serve, worker: Make, clock: Clock, logged: Logged
) -> None:
    class Undeletable(Store):
        def delete(self, key: str) -> None:
            raise AirflowException("the API server is away")

    fake = milvus()
    running = worker(serve(fake))
    running.store = Undeletable()
    assert running.run()
    assert (m(fake), fake.loaded) == ("32", {"_default"})
    assert [line for line in logged.of("warning") if "could not be deleted: the API server is away" in line]


def test_the_last_of_two_loads_what_the_first_has_released(
    serve: Callable[..., ScriptedServer], worker: Make, supervisor: Supervisor, clock: Clock, logged: Logged
) -> None:
    fake = milvus(partitions=["_default", "a", "b"], loaded={"a"})
    fake.add("label", "INVERTED", "", a="1")
    server = serve(fake)
    first = worker(server)
    with first.killed_after(12):
        first.run()  # and never again
    assert fake.loaded == set()

    label = {"fieldName": "label", "indexType": "TRIE"}
    second = worker(server, [label], task_id="second")
    second.run()

    assert fake.loaded == {"a"}
    assert any("Another task has released docs to replace an index" in line for line in logged.of("warning"))
    assert not [key for key in supervisor if key.startswith("airflow_vectordb.replacing.")]


def test_a_note_that_cannot_be_left_keeps_nobody_from_replacing(
    serve: Callable[..., ScriptedServer], worker: Make, clock: Clock
) -> None:
    """There is no Airflow to be asked, but a task state store."""
    fake = milvus(loaded={"_default"})
    worker(serve(fake)).run()
    assert (m(fake), fake.loaded) == ("32", {"_default"})


def test_it_is_read_once_before_the_build_and_once_after(serve: Serve, worker: Make, clock: Clock) -> None:
    class Counting(Store):
        reads = 0

        def get(self, key: str, *args: Any) -> Any:
            self.reads += 1
            return super().get(key, *args)

    fake = milvus()
    running = worker(serve(fake))
    running.store = store = Counting()
    running.run()
    assert (m(fake), fake.loaded) == ("32", {"_default"})
    assert store.reads == 2
