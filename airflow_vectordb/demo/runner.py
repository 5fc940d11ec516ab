"""The demo: a DAG under a real Airflow creates an index over real vectors, and later tasks wait for it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, NoReturn

from airflow_vectordb.demo.airflow import USER, LocalAirflow
from airflow_vectordb.demo.api import AirflowApi, ApiError
from airflow_vectordb.demo.console import Console
from airflow_vectordb.demo.home import Home, examples_directory
from airflow_vectordb.demo.processes import Processes
from airflow_vectordb.demo.report import Outcome, TaskRun
from airflow_vectordb.demo.stack import CONNECTION_ID, bring_up
from airflow_vectordb.rest import Client, MilvusConfig, collections, indexes
from airflow_vectordb.rest.errors import MilvusError

DAG_ID = "digits_search"
#: Not the DAG's defaults, so that the index shows whether they were used.
ASKED: dict[str, Any] = {"collection": "digits", "metric": "COSINE", "M": 24, "efConstruction": 180}
INDEX = "vector_hnsw"
#: Seconds that the DAG's run may take.
RUN_TIMEOUT = 600.0
ENDED = ("success", "failed")
RUNNING = ("running", "deferred")


def run_demo(path: Path, console: Console) -> int:
    """Run the demo.

    :param path: the directory that it works in; what an earlier run left there is removed.
    :return: exit status: 0 if everything held, else 1.
    """
    with Home(path, fresh=True) as home:
        try:
            with Processes(home, console) as processes:
                airflow, milvus = bring_up(processes, console, name="airflow_vectordb demo")
                status = _follow(airflow, milvus, console)
                console.step("ending all processes")
        finally:
            console.step(f"logs and all else of this run: {home.path}")
    console.step("done" if status == 0 else "failed")
    return status


def run_ui(path: Path, console: Console, *, port: int) -> NoReturn:
    """Show Airflow's pages over a local Milvus server, with the example DAGs and the connection, until a signal comes.

    :param path: the directory that it works in, and that keeps DAG runs, connections and collections for the next time.
    :raises Stopped: the signal came; all processes have ended by then.
    """
    with Home(path, fresh=False) as home, Processes(home, console) as processes:
        airflow, milvus = bring_up(processes, console, name="airflow_vectordb", port=port, store_connection=True)
        console.step("ready")
        console.show(
            f"\n  Airflow     {airflow.api.base_url}\n"
            f"  log in as   {USER}, password {airflow.secrets['password']}\n"
            f"  connection  {CONNECTION_ID}, to the Milvus server at {milvus.url}\n"
            f"  DAGs        {examples_directory()}\n"
            f"  kept in     {home.path}\n\n"
            f"Ctrl-C ends it.\n"
        )
        while True:
            processes.pause(0.5)


def _follow(airflow: LocalAirflow, milvus: MilvusConfig, console: Console) -> int:
    api, home, processes = airflow.api, airflow.home, airflow.processes
    log = home.logs / "dag-processor.log"
    processes.wait_for(lambda: api.dag(DAG_ID) or api.import_errors(), f"DAG {DAG_ID}", log)
    if errors := api.import_errors():
        for error in errors:
            console.show(f"{error['filename']} could not be imported:\n{error['stack_trace']}")
        return 1
    api.unpause(DAG_ID)
    run_id = api.trigger(DAG_ID, ASKED)
    console.step(f"triggered DAG {DAG_ID} with {', '.join(f'{name}={value}' for name, value in ASKED.items())}")
    with Client(milvus) as client:
        state = _watch(api, run_id, client, processes, console)
        tasks = [TaskRun.read(raw) for raw in api.task_instances(DAG_ID, run_id)]
        if state != "success":
            _show_failure(api, run_id, tasks, home, console)
            return 1
        described = client.send(indexes.describe(ASKED["collection"], INDEX))
    outcome = Outcome(
        asked=ASKED,
        run_state=state,
        tasks=tasks,
        reported=api.xcom(DAG_ID, run_id, "create_index"),
        described=described,
        search=api.xcom(DAG_ID, run_id, "search"),
    )
    console.show(f"\n{outcome.text()}\n")
    return 0 if all(outcome.checks().values()) else 1


def _watch(api: AirflowApi, run_id: str, client: Client, processes: Processes, console: Console) -> str:
    """Show the start and end of each task, and the Milvus server's state meanwhile; return the run's final state."""
    shown: dict[str, tuple[Any, int]] = {}
    said, next_question = "", 0.0
    deadline = time.monotonic() + RUN_TIMEOUT
    while True:
        # In this order, so that the list of tasks is complete when the run has ended.
        state = str(api.run(DAG_ID, run_id)["state"])
        for task in (TaskRun.read(raw) for raw in api.task_instances(DAG_ID, run_id)):
            if task.state in (None, "scheduled", "queued") or shown.get(task.task_id) == (task.state, task.attempt):
                continue
            shown[task.task_id] = (task.state, task.attempt)
            attempt = f", attempt {task.attempt}" if task.attempt > 1 else ""
            took = f" after {task.duration:.1f} s" if task.end and task.duration is not None else ""
            where = " (the triggerer waits; the worker is free for others)" if task.state == "deferred" else ""
            console.step(f"  {task.task_id}: {task.state}{took}{attempt}{where}")
        if time.monotonic() >= next_question:
            next_question = time.monotonic() + 1
            running = {task_id for task_id, (found, _) in shown.items() if found in RUNNING}
            before, said = said, _server_state(client, running)
            if said not in ("", before):
                console.step(f"      the server says: {said}")
        if state in ENDED:
            console.step(f"DAG {DAG_ID}: {state}")
            return state
        if time.monotonic() > deadline:
            raise TimeoutError(f"DAG {DAG_ID} is still {state} after {RUN_TIMEOUT:.0f} s")
        processes.pause(0.2)


def _server_state(client: Client, running: set[str]) -> str:
    """Return the state, on the Milvus server, of what the running tasks wait for; empty: none yet."""
    try:
        if "create_index" in running:
            (index,) = client.send(indexes.describe(ASKED["collection"], INDEX))
            rows = f"{index.indexed_rows:,} of {index.total_rows:,} rows indexed, {index.pending_rows:,} pending"
            return f"{INDEX} is {index.state}, {rows}"
        if "load_collection" in running:
            load = client.send(collections.load_state(ASKED["collection"]))
            return f"{ASKED['collection']} is {load.state}" + (f", {load.progress}%" if load.progress else "")
    except MilvusError:
        # For example, the index does not exist yet; the tasks themselves handle that.
        pass
    return ""


def _show_failure(api: AirflowApi, run_id: str, tasks: list[TaskRun], home: Home, console: Console) -> None:
    for task in tasks:
        if task.state not in ("failed", "up_for_retry"):
            continue
        where = home.airflow / "logs" / f"dag_id={DAG_ID}" / f"run_id={run_id}" / f"task_id={task.task_id}"
        console.show(f"\nTask {task.task_id} {task.state} in attempt {task.attempt}. The end of its log:")
        try:
            lines = api.log(DAG_ID, run_id, task.task_id, task.attempt)[-25:]
        except (ApiError, OSError) as error:
            lines = [f"(Airflow cannot show it: {error})"]
        console.show("\n".join(f"    {line}" for line in lines))
        console.show(f"All of it: {where}")
