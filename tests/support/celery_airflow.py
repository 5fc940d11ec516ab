"""A whole Airflow as it runs in production: CeleryExecutor with two workers, two triggerers, PostgreSQL and Redis.

What a supervisor such as systemd does there is done here by :meth:`CeleryAirflow.until`: what ended is started again.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import requests

from airflow_vectordb.demo.airflow import airflow_command, free_port
from airflow_vectordb.demo.processes import Child, ChildEndedError, Processes
from airflow_vectordb.local.supervisor import stop_supervised
from tests.support.running_airflow import PATIENCE, RunningAirflow, now

WORKERS = ("worker-1", "worker-2")
TRIGGERERS = ("triggerer-1", "triggerer-2")
#: Tasks that a worker runs at once.
CONCURRENCY = 4
#: More starts after an end of its own than these are no outage, but something that does not work.
MOST_RESTARTS = 12
SETTINGS = {
    "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
    "AIRFLOW__CORE__PARALLELISM": "16",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "10",
    # What a Redis that keeps nothing has forgotten is queued again.
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "30",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__NUM_STUCK_IN_QUEUED_RETRIES": "9",
}


def what_is_missing() -> str:
    """Name what this Airflow needs and this machine has not; empty: nothing."""
    programs = {"Debian's postgresql": postgresql_programs(), "redis-server": shutil.which("redis-server")}
    packages = ("airflow.providers.celery", "psycopg2", "asyncpg", "redis")
    absent = [name for name, found in programs.items() if not found]
    absent += [f"package {name} (group `celery`)" for name in packages if not _is_there(name)]
    return ", ".join(absent)


def postgresql_programs() -> Path | None:
    """Return the directory of the newest PostgreSQL's programs, where Debian puts them; None: there is none."""
    return max(Path("/usr/lib/postgresql").glob("*/bin"), default=None, key=lambda found: int(found.parent.name))


def _is_there(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:
        return False


class CeleryAirflow(RunningAirflow):
    """
    The processes, PostgreSQL and Redis among them.

    :param processes: ends them
    :param data: an empty directory that PostgreSQL's user can reach
    :param dags: directory of DAG files
    """

    def __init__(self, processes: Processes, data: Path, dags: Path) -> None:
        super().__init__(processes, dags=dags)
        self.data = data
        self.ports = {"postgresql": free_port(), "redis": free_port()}
        database = f"airflow@127.0.0.1:{self.ports['postgresql']}/postgres"
        self.env |= {
            **SETTINGS,
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{database}",
            "AIRFLOW__CELERY__RESULT_BACKEND": f"db+postgresql://{database}",
            "AIRFLOW__CELERY__BROKER_URL": f"redis://127.0.0.1:{self.ports['redis']}/0",
        }
        # PostgreSQL refuses to run as root.
        self._as_other = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        self.started_again: list[str] = []

    def bring_up(self, connection: Mapping[str, Any], pools: Mapping[str, int]) -> None:
        """Start everything, and make the connection and the pools."""
        if self._as_other:
            shutil.chown(self.data, "postgres")
        programs = postgresql_programs() or Path()
        command = [*self._as_other, str(programs / "initdb"), "-D", str(self.data / "postgresql"), "-U", "airflow"]
        command += ["--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
        self.processes.finish(self.processes.start("initdb", command, env=self.env, directory=self.data))
        for service in self.ports:
            self.start(service)
        self.until(self.services_answer, "PostgreSQL and Redis answer")
        super().bring_up(connection, pools)

    def start_serving(self) -> None:
        """Start what pages and runs need, which is all but the triggerers."""
        super().start_serving()
        for worker in WORKERS:
            self.start(worker)
        self.until(lambda: all(self.is_ready(worker) for worker in WORKERS), "the workers are ready")

    def start(self, component: str) -> Child:
        """Start one of Airflow's components, ``worker-1``, ``triggerer-2`` and so on; or ``postgresql``, ``redis``."""
        if component == "triggerer":
            for triggerer in TRIGGERERS:
                self.start(triggerer)
            return self.children[TRIGGERERS[-1]]
        kind = component.rstrip("-12")
        if kind in ("api-server", "dag-processor", "scheduler"):
            return super().start(component)
        if kind == "worker":
            command = airflow_command("celery", "worker", "--skip-serve-logs", "--concurrency", str(CONCURRENCY))
            command += ["--celery-hostname", f"{component}@tests", "--without-mingle", "--without-gossip"]
            command += ["--pid", str(self.home.airflow / f"{component}.pid")]
            (self.home.airflow / f"{component}.pid").unlink(missing_ok=True)  # a killed one leaves it behind
        elif kind == "triggerer":
            command = airflow_command("triggerer", "--skip-serve-logs")
        elif kind == "redis":
            command = ["redis-server", "--bind", "127.0.0.1", "--port", str(self.ports["redis"])]
            command += ["--appendonly", "no", "--save", "", "--dir", str(self.data)]
        else:
            command = [*self._as_other, str((postgresql_programs() or Path()) / "postgres")]
            command += ["-D", str(self.data / "postgresql"), "-p", str(self.ports["postgresql"])]
            for setting in ("listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=200"):
                command += ["-c", setting]
            command += ["-c", "fsync=off"]
        directory = self.data if kind in self.ports else None
        self.children[component] = self.processes.start(component, command, env=self.env, directory=directory)
        return self.children[component]

    def stop_service(self, service: str) -> None:
        """End PostgreSQL or Redis as their packages do; whoever uses it loses its connections."""
        child = self.children.pop(service)
        self.processes.children.remove(child)
        if service == "postgresql":
            # SIGTERM would wait for all connections to end.
            pid = int((self.data / "postgresql" / "postmaster.pid").read_text().split()[0])
            os.kill(pid, signal.SIGINT)
            child.keeper.wait(PATIENCE)
        stop_supervised(child.keeper)

    def services_answer(self) -> bool:
        """Return whether PostgreSQL and Redis do."""
        import psycopg2
        import redis

        try:
            self.query("SELECT 1")
            with redis.Redis(port=self.ports["redis"]) as client:
                return bool(client.ping())
        except (psycopg2.OperationalError, redis.RedisError):
            return False

    def is_ready(self, worker: str) -> bool:
        """Return whether a worker that was started has said that it takes tasks."""
        return f"{worker}@tests ready" in self.children[worker].log.read_text(errors="replace")

    def worker_of(self, pid: int) -> str:
        """Return the worker that a process is a part of."""
        return next(worker for worker in WORKERS if pid in self.pids_of(worker))

    def has_ended(self, component: str) -> bool:
        """Return whether a component has ended by itself."""
        return self.children[component].keeper.poll() is not None

    def until(self, holds: Callable[[], object], what: str, patience: float = PATIENCE, about: object = "") -> None:
        """Wait for something; components that end meanwhile are started again, and an API in an outage asked again."""

        def answered() -> object:
            try:
                return holds()
            except requests.HTTPError as error:
                if error.response.status_code < 500:
                    raise
            except OSError:
                pass
            return False

        deadline = now() + patience
        while True:
            try:
                return super().until(answered, what, deadline - now(), about)
            except ChildEndedError as error:
                self._start_again(error)

    def _start_again(self, error: ChildEndedError) -> None:
        child = error.child
        if child.name in self.ports or len(self.started_again) == MOST_RESTARTS:
            raise error
        self.processes.children.remove(child)
        stop_supervised(child.keeper)
        self.start(child.name)
        self.started_again.append(child.name)

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Read the metadata database."""
        import psycopg2

        port = self.ports["postgresql"]
        with closing(psycopg2.connect(host="127.0.0.1", port=port, user="airflow", dbname="postgres")) as database:
            cursor = database.cursor()
            cursor.execute(sql.replace("?", "%s"), values)
            found: list[tuple[Any, ...]] = cursor.fetchall()
            return found

    def connected_to(self, port: int, components: Sequence[str]) -> str:
        """Return the component that has a connection to a port of this machine, as soon as one has."""
        found: list[str] = []

        def has() -> bool:
            found.extend(
                component
                for component in components
                for pid in self.pids_of(component)
                for connection in psutil.Process(pid).net_connections("tcp")
                if connection.raddr and connection.raddr.port == port
            )
            return bool(found)

        self.until(has, f"one of {', '.join(components)} is connected to port {port}")
        return found[0]


__all__ = ["CONCURRENCY", "TRIGGERERS", "WORKERS", "CeleryAirflow", "what_is_missing"]
