"""A Milvus server and an Airflow, brought up together on this machine."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_vectordb.demo.airflow import (
    COMPONENTS,
    USER,
    Secrets,
    airflow_command,
    clean_environment,
    free_port,
    python_module,
    write_settings,
)
from airflow_vectordb.demo.api import AirflowApi
from airflow_vectordb.demo.console import Console
from airflow_vectordb.demo.home import Home
from airflow_vectordb.demo.processes import Processes, StopSignals
from airflow_vectordb.rest import Client, MilvusConfig

__all__ = ["CONNECTION_ID", "Stack", "migrate_database", "open_processes", "prepare_database", "wait_for"]

CONNECTION_ID = "milvus_default"
MILVUS_USER = "root"

#: The time that the Milvus server takes: that of a cluster, but about ten seconds for the index of the digits.
PACE = "real,build=6"

#: Seconds that a part of it may take to come up, on a slow or busy machine.
PATIENCE = 180.0
#: Seconds that Airflow's components get to end by themselves. Some take ten although nothing is left to do, and
#: none has anything to lose: what they know is in the database.
AIRFLOW_GRACE = 2.5


@dataclass(frozen=True)
class Stack:
    """What is up.

    :param api: Airflow's REST API, logged in.
    :param milvus: the local Milvus server.
    :param secret: passwords of both.
    """

    api: AirflowApi
    milvus: MilvusConfig
    secret: Secrets

    @classmethod
    def bring_up(
        cls,
        processes: Processes,
        home: Home,
        console: Console,
        *,
        dags: Path,
        name: str,
        port: int | None = None,
        connection_in_environment: bool,
    ) -> Stack:
        """Start a Milvus server and Airflow's components, and wait until both answer.

        :param processes: ends them.
        :param home: where they keep their files.
        :param console: is told of each step.
        :param dags: directory of DAG files.
        :param name: shown on Airflow's pages.
        :param port: Airflow's, if it is free.
        :param connection_in_environment: give tasks the connection in their environment; else :meth:`connection` is to
            be stored.
        :raises ChildEndedError: one of them ended instead.
        :raises TimeoutError: one of them did not come up.
        """
        secret = Secrets.of(home)
        milvus_port, airflow_port = free_port(), free_port(port)
        url = f"http://127.0.0.1:{airflow_port}"
        milvus = MilvusConfig(f"http://127.0.0.1:{milvus_port}", token=f"{MILVUS_USER}:{secret.milvus_password}")
        stack = cls(AirflowApi(url, USER, secret.password), milvus, secret)
        write_settings(home, secret, dags=dags, port=airflow_port, name=name)
        env = clean_environment(home)

        # Who waits for the server gives the worker's slot back: a triggerer is there, and waits for all.
        env["AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE"] = "True"

        console.step(f"starting a Milvus server (REST over Milvus Lite) at {milvus.url}, as slow as a cluster")
        processes.start(
            "milvus",
            [
                *(*python_module("airflow_vectordb.cli"), "serve", "--data", str(home.milvus)),
                *("--port", str(milvus_port), "--pace", PACE),
            ],
            env={**env, "AIRFLOW_VECTORDB_TOKEN": f"{MILVUS_USER}:{secret.milvus_password}"},
            log=home.logs / "milvus.log",
            directory=home.user,
            errors_only=True,  # on standard output it names the token
            last=True,
        )
        prepare_database(processes, home, console, env)
        if connection_in_environment:
            env[f"AIRFLOW_CONN_{CONNECTION_ID.upper()}"] = json.dumps(
                {key: value for key, value in stack.connection().items() if key != "connection_id"}
            )

        def start(component: str) -> None:
            console.step(f"starting Airflow's {component}" + (f" at {url}" if component == "api-server" else ""))
            command = airflow_command(*COMPONENTS[component])
            log = home.logs / f"{component}.log"
            processes.start(component, command, env=env, log=log, directory=home.user, grace=AIRFLOW_GRACE)

        # One after the other: each takes a processor for some seconds to come up, and the API server, which all depend
        # on, takes longest. Started at once they would only keep it from getting there.
        start("api-server")
        start("dag-processor")
        wait_for(processes, stack.api.is_up, "Airflow's API server", home.logs / "api-server.log")
        start("scheduler")
        stack.api.log_in()
        stack.api.warm_up()
        start("triggerer")
        wait_for(processes, lambda: listens(milvus_port), "the Milvus server", home.logs / "milvus.log")
        return stack

    def connection(self) -> dict[str, Any]:
        """The Airflow connection to the Milvus server, as Airflow's REST API takes it."""
        return {
            "connection_id": CONNECTION_ID,
            "conn_type": "milvus",
            "host": "127.0.0.1",
            "port": int(self.milvus.url.rpartition(":")[2]),
            "login": MILVUS_USER,
            "password": self.secret.milvus_password,
        }

    def milvus_client(self) -> Client:
        """A client of the Milvus server."""
        return Client(self.milvus)


def open_processes(signals: StopSignals, home: Home, console: Console) -> Processes:
    """Processes that work in a home, which stays locked as long as one of them may be there.

    :param signals: end the run.
    :param home: where they work.
    :param console: is told when they are ended early.
    """
    return Processes(signals, (home.lock,), lambda: console.step("stopping: ending all processes (Ctrl-C: at once)"))


def prepare_database(processes: Processes, home: Home, console: Console, env: Mapping[str, str]) -> None:
    """Make Airflow's database, or bring a kept one up to date.

    Making one takes some seconds, so a copy of the empty one is kept for the next fresh run of the same Airflow.

    :param processes: runs ``airflow db migrate``.
    :param home: where the database is.
    :param console: is told.
    :param env: Airflow's environment.
    """
    version = importlib.metadata.version("apache-airflow-core")
    database = home.airflow / "airflow.db"
    made_by = home.airflow / "airflow.db.version"
    copy = home.templates / f"airflow-{version}.db"
    if database.exists() and made_by.exists() and made_by.read_text() == version:
        return
    fresh = not database.exists()
    if fresh and copy.exists():
        shutil.copyfile(copy, database)
    else:
        console.step("making Airflow's database" if fresh else "bringing Airflow's database up to date")
        migrate_database(processes, home, env)
        if fresh:
            partial = copy.with_suffix(".new")
            shutil.copyfile(database, partial)
            partial.replace(copy)
    made_by.write_text(version)


def migrate_database(processes: Processes, home: Home, env: Mapping[str, str], python: str = sys.executable) -> None:
    """Run ``airflow db migrate``.

    :param processes: runs it.
    :param home: where the database is.
    :param env: Airflow's environment.
    :param python: the interpreter that has Airflow; by default this one.
    """
    migration = processes.start(
        "airflow db migrate",
        airflow_command("db", "migrate", python=python),
        env=env,
        log=home.logs / "db-migrate.log",
        directory=home.user,
        grace=AIRFLOW_GRACE,
    )
    processes.finish(migration, PATIENCE)


def wait_for(processes: Processes, ready: Callable[[], object], what: str, log: Path, *, every: float = 0.1) -> None:
    """Wait until something is ready, and see meanwhile that all processes are still there.

    :param processes: which.
    :param ready: called again and again; true ends the wait.
    :param what: is awaited, for the message.
    :param log: where to look if it does not come.
    :param every: seconds between two looks.
    :raises ChildEndedError: a process ended.
    :raises TimeoutError: it was not ready in time.
    """
    deadline = time.monotonic() + PATIENCE
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} was not ready after {PATIENCE:.0f} s; its log: {log}")
        processes.pause(every)


def listens(port: int) -> bool:
    """Whether something accepts connections at a port of this machine.

    :param port: which.
    """
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0
