"""A whole Airflow in processes of its own, and what tests ask it."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
from cryptography.fernet import Fernet

from airflow_vectordb.demo.airflow import LocalAirflow
from airflow_vectordb.demo.processes import Child, Processes
from airflow_vectordb.local.supervisor import kill_supervised, session_members

DAGS = Path(__file__).parents[1] / "airflow" / "dags"
#: Seconds that anything may take that is waited for, on a machine that others keep busy.
PATIENCE = 150.0
ENDED = ("success", "failed", "upstream_failed", "skipped", "removed")
#: Airflow's own times are made for long lives: half a minute until a triggerer is believed dead, five until a task is.
SETTINGS = {
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "6",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
    "AIRFLOW__CORE__PARALLELISM": "8",
    "AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE": "True",
}


@dataclass(frozen=True)
class TriggerRow:
    """
    What the metadata database has of a task's trigger.

    :param kwargs: decrypted, as they were serialized
    :param triggerer: id of the job that has taken it; None: none has yet
    """

    id: int
    classpath: str
    kwargs: str
    triggerer: int | None

    @property
    def deadline(self) -> float:
        """Seconds since the epoch."""
        return float(json.loads(self.kwargs)["deadline"]["at"])


class RunningAirflow(LocalAirflow):
    """
    Scheduler, triggerer, dag processor and API server, as :meth:`bring_up` starts them.

    :param processes: ends them
    :param python: the interpreter that has this Airflow; by default the one that runs the tests
    :param dags: directory of DAG files
    """

    def __init__(
        self, processes: Processes, python: str = sys.executable, dags: Path = DAGS, name: str = "tests"
    ) -> None:
        super().__init__(processes, dags=dags, name=name, python=python)
        self.lineage = self.home.user / "lineage.jsonl"
        transport = {"type": "file", "log_file_path": str(self.lineage), "append": True}
        self.env |= {
            **SETTINGS,
            "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(transport),
            "AIRFLOW__OPENLINEAGE__SELECTIVE_ENABLE": "True",
        }
        self.children: dict[str, Child] = {}

    def bring_up(self, connection: Mapping[str, Any], pools: Mapping[str, int]) -> None:
        """Start everything, and make the connection and the pools."""
        self.start_serving()
        self.start("triggerer")
        # Into the metadata database: that it is encrypted there is part of what is tested.
        self.api.put_connection(dict(connection))
        for name, slots in pools.items():
            self.api.call("POST", "/api/v2/pools", {"name": name, "slots": slots})

    def start(self, component: str) -> Child:
        """Start one of Airflow's components."""
        self.children[component] = super().start(component)
        return self.children[component]

    def pids_of(self, component: str) -> list[int]:
        """Return the processes of a component: its keeper, itself, and what it has started."""
        keeper = psutil.Process(self.children[component].keeper.pid)
        (itself,) = keeper.children()
        started = [member.pid for member in session_members(keeper.pid) if member not in (keeper, itself)]
        return [keeper.pid, itself.pid, *started]

    def kill(self, component: str) -> None:
        """Kill a component with all that it has started, as a machine that fails does."""
        child = self.children.pop(component)
        self.processes.children.remove(child)
        kill_supervised(child.keeper)

    def until(self, holds: Callable[[], object], what: str, patience: float = PATIENCE, about: object = "") -> None:
        """Wait for something; that all components are there is seen meanwhile. ``about``: to be shown if it fails."""
        deadline = now() + patience
        while not holds():
            if now() > deadline:
                pytest.fail(f"after {patience:.0f} s still not: {what} {about}")
            self.processes.pause(0.25)  # each question costs the API server some hundredths of a second of work

    def trigger(self, dag_id: str) -> Run:
        """Run a DAG, by the public API."""
        self.until(lambda: self.api.is_known(dag_id) or self.api.import_errors(), f"DAG {dag_id} is known")
        assert self.api.import_errors() == []
        return Run(self, dag_id, self.api.trigger(dag_id, {}))

    def pool(self, name: str) -> dict[str, Any]:
        """Slots of a pool, by the public API."""
        found: dict[str, Any] = self.api.call("GET", f"/api/v2/pools/{name}")
        return found

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Read the metadata database."""
        with closing(sqlite3.connect(self.home.airflow / "airflow.db", timeout=30)) as database:
            return database.execute(sql, values).fetchall()


class Run:
    """
    One run of a DAG.

    :param airflow: runs it
    """

    def __init__(self, airflow: RunningAirflow, dag_id: str, run_id: str) -> None:
        self.airflow = airflow
        self.dag_id = dag_id
        self.run_id = run_id

    def task(self, task_id: str) -> dict[str, Any]:
        """A task's state and more, by the public API."""
        found = self.airflow.api.task_instances(self.dag_id, self.run_id)
        return next(instance for instance in found if instance["task_id"] == task_id)

    def state(self, task_id: str) -> str | None:
        """A task's state; None: it is not even scheduled."""
        found: str | None = self.task(task_id)["state"]
        return found

    def until(self, task_id: str, *states: str, attempt: int = 1) -> dict[str, Any]:
        """Wait until a task has one of some states, in an attempt; an end that is not among them fails the test."""
        seen: dict[str, Any] = {}

        def reached() -> bool:
            seen.update(self.task(task_id))
            ended = seen["state"] in ENDED or seen["try_number"] > attempt
            return ended or (seen["state"] in states and seen["try_number"] == attempt)

        self.airflow.until(reached, f"{self.dag_id}.{task_id} is {' or '.join(states)}, attempt {attempt}", about=seen)
        log = "" if seen["state"] in states else self.log(task_id, seen["try_number"])
        assert (seen["state"] in states, seen["try_number"]) == (True, attempt), f"{seen}\n{log}"
        return seen

    def log(self, task_id: str, attempt: int = 1) -> str:
        """What an attempt logged, errors and the triggerer's part too, by the public API. With all that beside it."""
        lines = self.airflow.api.log(self.dag_id, self.run_id, task_id, attempt)
        return "\n".join(f"{line['event']}  {json.dumps(line)}" for line in lines)

    def xcom(self, task_id: str) -> Any:
        """What a task returned."""
        return self.airflow.api.xcom(self.dag_id, self.run_id, task_id)

    def trigger(self, task_id: str) -> TriggerRow | None:
        """The trigger that a task waits for, from the metadata database; None: none."""
        rows = self.airflow.query(
            'SELECT t.id, t.classpath, t.kwargs, t.triggerer_id FROM "trigger" t JOIN task_instance i'
            " ON i.trigger_id = t.id WHERE i.dag_id = ? AND i.run_id = ? AND i.task_id = ?",
            self.dag_id,
            self.run_id,
            task_id,
        )
        if not rows:
            return None
        number, classpath, kwargs, triggerer = rows[0]
        if not kwargs.startswith("{"):
            kwargs = Fernet(self.airflow.secrets["fernet_key"]).decrypt(kwargs).decode()
        return TriggerRow(number, classpath, kwargs, triggerer)

    def left(self, task_id: str) -> None:
        """
        Wait until the scheduler has noticed that a task has left its worker.

        What goes on before that, Airflow 3.3 can take for lost: its LocalExecutor knows a task instance in its second
        stay by the same key as in its first, whose end it then takes for the end of the second.
        """
        log = self.airflow.home.logs / "scheduler.log"
        key = f"TaskInstanceKey(dag_id='{self.dag_id}', task_id='{task_id}', run_id='{self.run_id}'"
        event = f"Received executor event with state success for task instance {key}"
        self.airflow.until(
            lambda: event in log.read_text(errors="replace"), f"the scheduler knows that {task_id} has left its worker"
        )

    def taken(self, task_id: str, but: int | None = None) -> TriggerRow:
        """Wait until a triggerer has a task's trigger, another one than ``but``."""
        found: list[TriggerRow] = []

        def has() -> bool:
            row = self.trigger(task_id)
            if row is None or row.triggerer in (None, but):
                return False
            found.append(row)
            return True

        self.airflow.until(has, f"a triggerer has the trigger of {self.dag_id}.{task_id}")
        return found[0]


def now() -> float:
    """The time as Airflow's tables have it, in seconds since the epoch."""
    return datetime.now().timestamp()


def seconds(instance: Mapping[str, Any], key: str) -> float:
    """A time of a task, in seconds since the epoch."""
    return datetime.fromisoformat(instance[key].replace("Z", "+00:00")).timestamp()


def processes_of(home: Path) -> dict[int, str]:
    """Return what runs in a directory, by its working directory, environment or arguments."""
    found = {}
    for process in psutil.process_iter():
        try:
            arguments = " ".join(process.cmdline())
            traces = [arguments, process.cwd(), *process.environ().values()]
        except psutil.Error:  # it has ended, or is another user's
            continue
        if process.pid != os.getpid() and any(str(home) in trace for trace in traces):
            found[process.pid] = arguments
    return found


__all__ = ["DAGS", "PATIENCE", "Run", "RunningAirflow", "TriggerRow", "now", "processes_of", "seconds"]
