"""The demo: a DAG under a real Airflow creates an index over real vectors, and later tasks wait for it."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

from airflow_vectordb.demo.airflow import USER, LocalAirflow, clean_environment, free_port
from airflow_vectordb.demo.home import Home, examples_directory
from airflow_vectordb.demo.processes import Processes, Stopped, show, step
from airflow_vectordb.demo.report import Outcome
from airflow_vectordb.rest import Client, MilvusConfig, collections, indexes
from airflow_vectordb.rest.errors import MilvusError

CONNECTION_ID = "milvus_default"
#: The pace of the Milvus server: a cluster's, with about ten seconds for the index of the digits.
PACE = "real,build=6"
DAG_ID = "digits_search"
#: Not the DAG's defaults, so that the index shows whether they were used.
ASKED: dict[str, Any] = {"collection": "digits", "metric": "COSINE", "M": 24, "efConstruction": 180}
INDEX = "vector_hnsw"
#: Seconds that the DAG's run may take.
RUN_TIMEOUT = 600.0


def run(arguments: argparse.Namespace) -> int:
    """Run the demo or the user interface, and leave no process behind.

    :param arguments: ``ui``, ``home``, and ``port`` of the user interface.
    :return: exit status: 0, if all that must hold did, or if Ctrl-C ended the user interface; 1, if not; 130 if Ctrl-C
        ended the demo.
    """
    # This process makes local requests only, so ignore proxies.
    os.environ.update(NO_PROXY="*", no_proxy="*")
    try:
        if arguments.ui:
            return run_ui(arguments.home or Path(".ui"), port=arguments.port)
        return run_demo(arguments.home or Path(".demo"))
    except Stopped as stopped:
        step(f"ended by {signal.Signals(stopped.number).name}; no process is left")
        # Ctrl-C is the normal end of --ui, but a failure of the demo.
        return 0 if arguments.ui and stopped.number == signal.SIGINT else stopped.exit_status
    except (MilvusError, OSError) as error:
        show(f"\n{error}")
    return 1


def run_demo(path: Path) -> int:
    """Run the demo.

    :param path: the directory that it works in; what an earlier run left there is removed.
    :return: exit status: 0 if everything held, else 1.
    """
    with Home(path, fresh=True) as home:
        try:
            with Processes(home) as processes:
                airflow, milvus = bring_up(processes, name="airflow_vectordb demo")
                status = _follow(airflow, milvus)
                step("ending all processes")
        finally:
            step(f"logs and all else of this run: {home.path}")
    step("done" if status == 0 else "failed")
    return status


def run_ui(path: Path, *, port: int) -> NoReturn:
    """Show Airflow's pages over a local Milvus server, with the example DAGs and the connection, until a signal comes.

    :param path: the directory that it works in, and that keeps DAG runs, connections and collections for the next time.
    :raises Stopped: the signal came; all processes have ended by then.
    """
    with Home(path, fresh=False) as home, Processes(home) as processes:
        airflow, milvus = bring_up(processes, name="airflow_vectordb", port=port, store_connection=True)
        step("ready")
        show(
            f"\n  Airflow     {airflow.api.base_url}\n"
            f"  log in as   {USER}, password {airflow.secrets['password']}\n"
            f"  connection  {CONNECTION_ID}, to the Milvus server at {milvus.url}\n"
            f"  DAGs        {examples_directory()}\n"
            f"  kept in     {home.path}\n\n"
            f"Ctrl-C ends it.\n"
        )
        while True:
            processes.pause(0.5)


def bring_up(
    processes: Processes, *, name: str, port: int = 0, store_connection: bool = False
) -> tuple[LocalAirflow, MilvusConfig]:
    """Start a Milvus server and Airflow's components with the example DAGs, and wait until both answer.

    :param store_connection: keep the connection in Airflow's database, where it is seen on the page of connections;
        else tasks have it in their environment. The triggerer reads it sooner there: at the first connection from the
        database it builds an API of its own, for several seconds.
    :return: Airflow, logged in, and the Milvus server that its connection leads to.
    """
    airflow = LocalAirflow(processes, dags=examples_directory(), name=name, port=port)
    login, password, milvus_port = "root", airflow.secrets["milvus_password"], free_port()
    milvus = MilvusConfig(f"http://127.0.0.1:{milvus_port}", token=f"{login}:{password}")
    connection = {"conn_type": "milvus", "host": milvus.url, "login": login, "password": password}
    step(f"starting a Milvus server (REST over Milvus Lite) at {milvus.url}, as slow as a cluster")
    serve = ["serve", "--data", str(processes.home.milvus), "--port", str(milvus_port), "--pace", PACE]
    server = processes.start(
        "milvus",
        [sys.executable, "-I", "-m", "airflow_vectordb.cli", *serve],
        env={**clean_environment(processes.home), "AIRFLOW_VECTORDB_TOKEN": f"{login}:{password}"},
    )
    if not store_connection:
        airflow.env[f"AIRFLOW_CONN_{CONNECTION_ID.upper()}"] = json.dumps(connection)
    airflow.start_serving()
    airflow.start("triggerer")
    if store_connection:
        airflow.api.put_connection({"connection_id": CONNECTION_ID, **connection})
    processes.wait_for(lambda: "Milvus REST API v2" in server.log.read_text(), "the Milvus server", server.log)
    return airflow, milvus


def _follow(airflow: LocalAirflow, milvus: MilvusConfig) -> int:
    api, processes = airflow.api, airflow.processes
    log = airflow.home.logs / "dag-processor.log"
    processes.wait_for(lambda: api.is_known(DAG_ID) or api.import_errors(), f"DAG {DAG_ID}", log)
    if errors := api.import_errors():
        for error in errors:
            show(f"{error['filename']} could not be imported:\n{error['stack_trace']}")
        return 1
    run_id = api.trigger(DAG_ID, ASKED)
    step(f"triggered DAG {DAG_ID} with {', '.join(f'{name}={value}' for name, value in ASKED.items())}")
    with Client(milvus) as client:
        progress = Progress(airflow, client, run_id)
        processes.wait_for(
            progress.has_ended, f"DAG {DAG_ID}", airflow.home.logs / "scheduler.log", timeout=RUN_TIMEOUT
        )
        if progress.run_state != "success":
            progress.show_failures()
            return 1
        described = client.send(indexes.describe(ASKED["collection"], INDEX))
    outcome = Outcome(
        asked=ASKED,
        tasks=progress.tasks,
        reported=api.xcom(DAG_ID, run_id, "create_index"),
        described=described,
        search=api.xcom(DAG_ID, run_id, "search"),
    )
    show(f"\n{outcome.text()}\n")
    return 0 if all(outcome.checks().values()) else 1


class Progress:
    """Shows the start and end of each task, and the Milvus server's state meanwhile."""

    def __init__(self, airflow: LocalAirflow, client: Client, run_id: str) -> None:
        self.airflow = airflow
        self.client = client
        self.run_id = run_id
        self.run_state = ""
        self.tasks: list[dict[str, Any]] = []
        self._shown: set[str] = set()
        self._said = ""
        self._next_question = 0.0

    def has_ended(self) -> bool:
        """Poll Airflow and the server, show what is new, and return whether the run has ended."""
        # In this order, so that the list of tasks is complete when the run has ended.
        self.run_state = self.airflow.api.run_state(DAG_ID, self.run_id)
        self.tasks = self.airflow.api.task_instances(DAG_ID, self.run_id)
        for task in self.tasks:
            self._show(task)
        if time.monotonic() >= self._next_question:
            self._next_question = time.monotonic() + 1
            said = self._server_state()
            if said not in ("", self._said):
                self._said = said
                step(f"      the server says: {said}")
        ended = self.run_state in ("success", "failed")
        if ended:
            step(f"DAG {DAG_ID}: {self.run_state}")
        return ended

    def _show(self, task: dict[str, Any]) -> None:
        attempt = f", attempt {task['try_number']}" if task["try_number"] > 1 else ""
        took = f" after {task['duration']:.1f} s" if task["end_date"] else ""
        where = " (the triggerer waits; the worker is free for others)" if task["state"] == "deferred" else ""
        line = f"  {task['task_id']}: {task['state']}{took}{attempt}{where}"
        if task["state"] not in (None, "scheduled", "queued") and line not in self._shown:
            self._shown.add(line)
            step(line)

    def _server_state(self) -> str:
        """Return the state, on the Milvus server, of what the running tasks wait for; empty: none yet."""
        running = {task["task_id"] for task in self.tasks if task["state"] in ("running", "deferred")}
        try:
            if "create_index" in running:
                (index,) = self.client.send(indexes.describe(ASKED["collection"], INDEX))
                rows = f"{index.indexed_rows:,} of {index.total_rows:,} rows indexed, {index.pending_rows:,} pending"
                return f"{INDEX} is {index.state}, {rows}"
            if "load_collection" in running:
                load = self.client.send(collections.load_state(ASKED["collection"]))
                return f"{ASKED['collection']} is {load.state}" + (f", {load.progress}%" if load.progress else "")
        except MilvusError:
            # For example, the index does not exist yet; the tasks themselves handle that.
            pass
        return ""

    def show_failures(self) -> None:
        """Show the logs of the tasks that failed."""
        for task in self.tasks:
            if task["state"] not in ("failed", "up_for_retry"):
                continue
            task_id, attempt = task["task_id"], task["try_number"]
            show(f"\nTask {task_id} {task['state']} in attempt {attempt}. The end of its log:")
            try:
                lines = self.airflow.api.log(DAG_ID, self.run_id, task_id, attempt)
                texts = (line if isinstance(line, str) else line.get("event", line) for line in lines[-25:])
                show("\n".join(f"    {text}" for text in texts))
            except OSError as error:
                show(f"    (Airflow cannot show it: {error})")
            place = f"dag_id={DAG_ID}/run_id={self.run_id}/task_id={task_id}"
            show(f"All of it: {self.airflow.home.airflow / 'logs' / place}")
