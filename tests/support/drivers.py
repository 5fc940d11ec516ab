"""The ways to wait for an index, each as Airflow goes them: in a worker, over reschedules, and through a triggerer."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from importlib import import_module
from types import SimpleNamespace
from typing import Any, ClassVar
from uuid import uuid4

from airflow_vectordb.operators.index import CreateIndexOperator
from airflow_vectordb.sensors.milvus import IndexSensor
from airflow_vectordb.triggers.milvus import MilvusTrigger
from airflow_vectordb.waiting import Condition, IndexesBuilt
from airflow_vectordb.waiting.polling import Deadline
from tests.support.harness import HNSW, Clock, Operating
from tests.support.loading_milvus import Store

try:
    from airflow.sdk.exceptions import AirflowRescheduleException, TaskDeferred
except ImportError:  # Airflow 3.1
    from airflow.exceptions import AirflowRescheduleException, TaskDeferred  # type: ignore[no-redef,assignment]


async def end_of(trigger: Any) -> Any:
    """Run a trigger to its one event, and return the payload."""
    (event,) = [event async for event in trigger.run()]
    return event.payload


def revived(data: str) -> Any:
    """Make a trigger of the JSON that it was serialized to."""
    path, arguments = json.loads(data)
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)(**arguments)


def trigger_of(wait: Condition | None = None, **changes: Any) -> MilvusTrigger:
    """Make one that waits for ``vector`` of ``docs``, from now on, for an hour."""
    now = time.time()
    arguments: dict[str, Any] = {
        "condition": wait or IndexesBuilt("docs", ("vector",)),
        "deadline": Deadline(now + 3600.0, "timeout", 3600.0),
        "poll_interval": 30.0,
        "started": now,
    }
    return MilvusTrigger(**{**arguments, **changes})


@dataclass
class Driver:
    """
    Waits for the index ``vector`` of ``docs``.

    :param operating: connects
    :param clock: which only sleeping moves
    """

    operating: Operating
    clock: Clock
    #: What passed between worker, database and triggerer, as JSON.
    passed: list[str] = field(default_factory=list)
    deferrals: list[TaskDeferred] = field(default_factory=list)
    store: Store = field(default_factory=Store)

    name: ClassVar[str]
    sensor: ClassVar[bool] = False
    #: Requests that are made before the first poll.
    before: ClassVar[tuple[str, ...]] = ()
    #: Whether every poll is made by a process of its own, which knows nothing of the others.
    rescheduled: ClassVar[bool] = False
    #: Whether the first poll is made by a worker, and the others by the triggerer.
    deferred: ClassVar[bool] = False

    def task(self, timeout: float | None = None, interval: float = 30.0) -> Any:
        """Make the task."""
        raise NotImplementedError

    def run(self, server: Any, *, timeout: float | None = None, interval: float = 30.0, **connection: Any) -> Any:
        """Connect, and run a task to its end."""
        self.operating.connect(server, **connection)
        return self.finish(self.task(timeout, interval))

    def finish(self, task: Any) -> Any:
        """Run a task to its end, through all reschedules and deferrals; the result went through JSON, as XComs do."""
        began: list[datetime] = []
        ti = SimpleNamespace(id=uuid4(), try_number=1, max_tries=0, run_id="manual__1")
        ti.get_first_reschedule_date = lambda context: began[0] if began else None
        context = {"ti": ti, "task_state_store": self.store}
        step: Callable[[], Any] = lambda: task.execute(context)  # noqa: E731
        start = self.clock.utcnow()
        while True:
            try:
                self.passed.append(json.dumps(step()))
            except AirflowRescheduleException as pause:
                began.append(start)
                self.clock.sleep(pause.reschedule_date.timestamp() - self.clock.now)
            except TaskDeferred as deferred:
                self.deferrals.append(deferred)
                event, kwargs = self.wait(deferred)
                step = lambda m=deferred.method_name, k={**kwargs, "event": event}: (  # type: ignore[misc]  # noqa: E731
                    task.resume_execution(m, k, context)
                )
            else:
                return json.loads(self.passed[-1])

    def wait(self, deferred: TaskDeferred) -> tuple[Any, dict[str, Any]]:
        """Do what the triggerer does; return the event, and what the task gave itself."""
        self.passed += [json.dumps(deferred.trigger.serialize()), json.dumps(deferred.kwargs)]
        trigger = revived(self.passed[-2])
        kwargs = json.loads(self.passed[-1])
        self.passed.append(json.dumps(asyncio.run(end_of(trigger))))
        return json.loads(self.passed[-1]), kwargs


class Operator(Driver):
    name = "operator"
    before = ("collections/describe", "indexes/list", "indexes/create")

    def task(self, timeout: float | None = None, interval: float = 30.0) -> CreateIndexOperator:
        return CreateIndexOperator(
            task_id="index",
            collection_name="docs",
            index_params=HNSW,
            timeout=timeout,
            poll_interval=interval,
            deferrable=self.deferred,
        )


class DeferrableOperator(Operator):
    name = "deferrable operator"
    deferred = True


class Sensor(Driver):
    name = "sensor"
    sensor = True

    def task(self, timeout: float | None = None, interval: float = 30.0) -> IndexSensor:
        return IndexSensor(
            task_id="index",
            collection_name="docs",
            index_name="vector",
            mode="reschedule" if self.rescheduled else "poke",
            deferrable=self.deferred,
            timeout=24 * 3600.0 if timeout is None else timeout,
            poke_interval=interval,
        )


class RescheduledSensor(Sensor):
    name = "rescheduled sensor"
    rescheduled = True


class DeferrableSensor(Sensor):
    name = "deferrable sensor"
    deferred = True


DRIVERS = (Operator, DeferrableOperator, Sensor, RescheduledSensor, DeferrableSensor)

__all__ = ["DRIVERS", "AirflowRescheduleException", "Driver", "TaskDeferred", "end_of", "revived", "trigger_of"]
