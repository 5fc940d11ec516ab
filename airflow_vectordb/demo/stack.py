"""Starts a Milvus server and an Airflow on this machine."""

from __future__ import annotations

import json
import sys

from airflow_vectordb.demo.airflow import LocalAirflow, free_port
from airflow_vectordb.demo.console import Console
from airflow_vectordb.demo.home import examples_directory
from airflow_vectordb.demo.processes import Processes
from airflow_vectordb.rest import MilvusConfig

CONNECTION_ID = "milvus_default"
#: The pace of the Milvus server: a cluster's, with about ten seconds for the index of the digits.
PACE = "real,build=6"


def bring_up(
    processes: Processes, console: Console, *, name: str, port: int = 0, store_connection: bool = False
) -> tuple[LocalAirflow, MilvusConfig]:
    """Start a Milvus server and Airflow's components with the example DAGs, and wait until both answer.

    :param store_connection: keep the connection in Airflow's database, where it is seen on the page of connections;
        else tasks have it in their environment. The triggerer reads it sooner there: at the first connection from the
        database it builds an API of its own, for several seconds.
    :return: Airflow, logged in, and the Milvus server that its connection leads to.
    """
    airflow = LocalAirflow(processes, dags=examples_directory(), name=name, port=port)
    user, password, milvus_port = "root", airflow.secrets["milvus_password"], free_port()
    milvus = MilvusConfig(f"http://127.0.0.1:{milvus_port}", token=f"{user}:{password}")
    connection = {
        "conn_type": "milvus",
        "host": "127.0.0.1",
        "port": milvus_port,
        "login": user,
        "password": password,
    }
    console.step(f"starting a Milvus server (REST over Milvus Lite) at {milvus.url}, as slow as a cluster")
    serve = ["serve", "--data", str(processes.home.milvus), "--port", str(milvus_port), "--pace", PACE]
    server = processes.start(
        "milvus",
        [sys.executable, "-I", "-m", "airflow_vectordb.cli", *serve],
        env={**airflow.env, "AIRFLOW_VECTORDB_TOKEN": f"{user}:{password}"},
        last=True,
    )
    console.step("preparing Airflow's database")
    airflow.migrate_database()
    if not store_connection:
        airflow.env[f"AIRFLOW_CONN_{CONNECTION_ID.upper()}"] = json.dumps(connection)

    # One after the other: each takes a processor for some seconds to come up, and the API server, which all depend
    # on, takes longest. Started together they would only keep it from getting there.
    console.step(f"starting Airflow's api-server at {airflow.api.base_url}")
    airflow.start("api-server")
    console.step("starting Airflow's dag-processor")
    airflow.start("dag-processor")
    airflow.wait_until_up()
    console.step("starting Airflow's scheduler")
    airflow.start("scheduler")
    airflow.api.warm_up()
    console.step("starting Airflow's triggerer")
    airflow.start("triggerer")
    if store_connection:
        airflow.api.put_connection({"connection_id": CONNECTION_ID, **connection})
    processes.wait_for(lambda: "Milvus REST API v2" in server.log.read_text(), "the Milvus server", server.log)
    return airflow, milvus
