"""Airflow's pages with a local Milvus server, the example DAGs and the connection."""

from __future__ import annotations

from pathlib import Path

from airflow_vectordb.demo.airflow import USER
from airflow_vectordb.demo.console import Console
from airflow_vectordb.demo.home import Home, examples_directory
from airflow_vectordb.demo.processes import Processes, StopSignals
from airflow_vectordb.demo.stack import CONNECTION_ID, bring_up


def run_ui(path: Path, signals: StopSignals, console: Console, *, port: int) -> int:
    """Start everything, and run until a signal arrives.

    :param path: the directory that it works in, and that keeps DAG runs, connections and collections for the next time.
    :raises Stopped: the signal came; all processes have ended by then.
    """
    dags = examples_directory()
    with Home(path, fresh=False) as home, Processes(signals, home, console) as processes:
        stack = bring_up(processes, console, dags=dags, name="airflow_vectordb", port=port, store_connection=True)
        console.step("ready")
        console.show(
            f"\n  Airflow     {stack.airflow.api.base_url}\n"
            f"  log in as   {USER}, password {stack.airflow.secrets.password}\n"
            f"  connection  {CONNECTION_ID}, to the Milvus server at {stack.milvus.url}\n"
            f"  DAGs        {dags}\n"
            f"  kept in     {home.path}\n\n"
            f"Ctrl-C ends it.\n"
        )
        while True:
            processes.pause(0.5)
