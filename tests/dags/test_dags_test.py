"""What ``airflow dags test`` does to tasks: triggers in the same process, and resumptions with the event alone."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from airflow_vectordb.local import LocalMilvus
from tests.support.airflow_process import AirflowProcess
from tests.support.fake_milvus import FakeMilvus, rows, told
from tests.support.loading_milvus import LoadingMilvus, milvus
from tests.support.scripted import ScriptedServer

pytestmark = pytest.mark.slow

FILES = Path(__file__).with_name("tested")
DAGS = ["resumed", "late", "results", "unsent"]
TAKES = {"release": 1.0, "build": 1.5, "load": 1.0}


class Run(dict[str, Any]):
    """What each DAG's run came to; ``log``: all that was printed."""

    log: str
    loading: LoadingMilvus


@pytest.fixture(scope="module")
def run(airflow: AirflowProcess, server: LocalMilvus) -> Run:
    loading = milvus(takes=TAKES)
    user, _, password = (server.token or "").partition(":")
    with ScriptedServer(loading) as first, ScriptedServer(FakeMilvus(progress=told(rows(9)))) as slow:
        connections = {
            "milvus_default": {"host": first.url, "password": password},
            "milvus_slow": {"host": slow.url},
            "milvus_local": {"host": server.uri, "login": user, "password": password},
        }
        fields = {name: {"conn_type": "milvus", **fields} for name, fields in connections.items()}
        returned, printed = airflow.call("tested_runs.run", str(FILES), DAGS, fields)
    assert password not in printed
    assert password not in json.dumps(returned)
    found = Run(returned)
    found.log, found.loading = printed, loading
    return found


def test_deferred_waits_end(run: Run) -> None:
    assert run["resumed"]["states"] == {"replace": "success", "built": "success", "count": "success"}
    assert run["resumed"]["returned"]["count"] == 100
    # Each of its waits was one, and nothing was done twice.
    assert run.log.count("Waiting in the triggerer for") >= 3
    assert run.loading.changes == ["collections/release", "indexes/drop", "indexes/create", "collections/load"]


def test_a_connection_in_airflows_database_is_found_at_once(run: Run) -> None:
    assert "isn't defined" not in run.log
    assert run["resumed"]["seconds"] < 120  # 30 s more for each of its four waits


def test_what_is_late_fails(run: Run) -> None:
    assert run["late"]["states"] == {"create": "failed", "wait": "failed"}
    assert run.log.count("not done within 2 s (timeout)") >= 2
    assert run["late"]["seconds"] < 3600  # a wait that is not ended takes 24 h


def test_what_the_hook_returns_goes_to_another_task(run: Run) -> None:
    assert set(run["results"]["states"].values()) == {"success"}
    assert run["results"]["returned"]["read"] == [3, ["id", "vector"], "LoadStateLoaded", "vector"]


def test_a_call_that_is_never_sent_is_in_the_log(run: Run) -> None:
    assert run["unsent"]["states"] == {"forget": "success"}
    assert re.search("indexes/create.*results.* was made and never sent", run.log)
