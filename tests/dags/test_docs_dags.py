"""The DAGs of the documentation run.

A block of Python with a line ``with DAG(`` or ``@dag`` is a DAG file, with all its imports. Each DAG in it is run once,
in the order in which they stand there, with ``dag.test()``, ``params`` at their defaults and no logical date, as
``airflow dags trigger`` does it; every task must end in success, or skipped. Each id of a DAG stands in one block only.

Before each block the server is emptied, and these collections are made, with 20 rows (ids 0 to 19), flushed, without
any index: ``docs``, ``docs_de``, ``docs_fr`` (``id`` Int64, ``vector`` FloatVector of 8,
``category`` VarChar, ``year`` Int64, ``meta`` JSON, dynamic fields) and ``articles`` (``id`` and ``text`` VarChar,
``dense`` FloatVector of 8, ``sparse`` SparseFloatVector); in the database ``staging``, ``docs`` again. A DAG that needs
another one makes it. The server's files are ``exports/docs-0.json`` and ``exports/docs-1.json``, with five rows for
``docs`` each. All ids of connections that stand in a block lead to the local server.

Comments on the lines right above a fence say what else there is to know::

    <!-- given: docs indexed -->       an HNSW index on docs.vector
    <!-- given: docs loaded -->        the same, and loaded
    <!-- file: indexes/docs.yaml -->   the block is written there, beside the page's DAGs
    <!-- returned by: TASK_ID -->      above JSON: it is what that task of the DAG block before it returned
    <!-- not run: REASON -->           it needs what no test has
"""

from __future__ import annotations

import ast
import json
import re
from typing import Any

import pytest

from airflow_vectordb.local import LocalMilvus
from tests.support.airflow_process import AirflowProcess
from tests.support.docs_pages import PAGES, ROOT, Block, blocks, blocks_of, table

pytestmark = pytest.mark.slow

TOKEN = "root:open sesame/100%"
DAGS = [block for block in blocks() if block.is_dag and not block.marked("not run")]
RETURNED = [block for block in blocks() if block.marked("returned by")]


def connections_of(code: str) -> set[str]:
    """Find the ids of connections that stand in code."""
    found = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call):
            named = [keyword.value for keyword in node.keywords if keyword.arg == "milvus_conn_id"]
            if isinstance(node.func, ast.Name) and node.func.id == "MilvusHook":
                named += node.args[:1]
            found |= {one.value for one in named if isinstance(one, ast.Constant) and isinstance(one.value, str)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found |= set(re.findall(r"\bmilvus_[a-z]+\b", node.value)) & {node.value}
    return found | {"milvus_default"}


def previous_dag(block: Block) -> Block:
    """Find the DAG that a block is about."""
    before = [one for one in blocks_of(ROOT / block.page) if one in DAGS and one.line < block.line]
    assert before, f"{block}: no DAG before it"
    return before[-1]


@pytest.fixture(scope="module")
def runs(airflow: AirflowProcess, tmp_path_factory: pytest.TempPathFactory) -> dict[Block, Any]:
    """On a server of their own, which they empty."""
    top = tmp_path_factory.mktemp("docs")
    jobs = []
    connections: set[str] = set()
    for page in PAGES:
        folder = top / page.relative_to(ROOT).as_posix().replace("/", "_").replace(".md", "")
        folder.mkdir()
        for block in blocks_of(page):
            for name in block.marked("file"):
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(block.code)
            if block in DAGS:
                path = folder / f"line_{block.line}.py"
                path.write_text(block.code)
                jobs.append({"path": str(path), "given": [said.split() for said in block.marked("given")]})
                connections |= connections_of(block.code)
    # The pages tell of collections whose rows have long been counted.
    with LocalMilvus(token=TOKEN, pace="immediate") as server:
        (server.files / "exports").mkdir()
        for number in range(2):
            rest = {"vector": [1.0] * 8, "category": "news", "year": 2024, "meta": {}}
            rows = [{"id": 100 + 5 * number + i, **rest} for i in range(5)]
            (server.files / f"exports/docs-{number}.json").write_text(json.dumps(rows))
        user, _, password = TOKEN.partition(":")
        connection = json.dumps({"conn_type": "milvus", "host": server.uri, "login": user, "password": password})
        variables = {f"AIRFLOW_CONN_{name.upper()}": connection for name in connections}
        outcomes, printed = airflow.call("docs_runs.run", jobs, **variables)
    assert password not in printed
    assert password not in json.dumps(outcomes)
    return dict(zip(DAGS, outcomes, strict=True))


@pytest.mark.parametrize("block", DAGS, ids=str)
def test_the_dag_runs(runs: dict[Block, Any], block: Block) -> None:
    done = runs[block]
    assert done["errors"] == []
    assert done["runs"]
    for dag_id, run in done["runs"].items():
        assert run["states"], dag_id
        assert set(run["states"].values()) <= {"success", "skipped"}, f"{dag_id}: {run['states']}"
        assert run["state"] == "success", dag_id


@pytest.mark.parametrize("block", RETURNED, ids=str)
def test_what_is_said_to_be_returned_is(runs: dict[Block, Any], block: Block) -> None:
    for task_id in block.marked("returned by"):
        returned = [
            run["returned"][task_id] for run in runs[previous_dag(block)]["runs"].values() if task_id in run["returned"]
        ]
        assert returned == [json.loads(block.code)]


def test_operators_make_the_requests_that_their_pages_tell(runs: dict[Block, Any]) -> None:
    told: dict[str, set[str]] = {}
    for page in PAGES:
        if page.parent.name == "operators":
            title = page.read_text().partition("\n")[0].removeprefix("# ")
            cells = [row[0] for row in table(page, "Requests and privileges")]
            told[title] = {path for cell in cells for path in re.findall(r"`([a-z_/]+)`", cell)}
    known = [run for done in runs.values() for run in done["runs"].values() if set(run["types"]) <= set(told)]
    for run in known:
        assert set(run["requests"]) - set().union(*(told[name] for name in run["types"])) == set(), run["types"]
    assert {name for run in known for name in run["types"]} >= {"CreateIndexOperator", "IndexSensor"}
    assert any("partitions/list" in run["requests"] for run in known)  # the replacement


def test_each_dag_has_an_id_of_its_own(runs: dict[Block, Any]) -> None:
    # They are all parsed from one folder, and Airflow goes by the id.
    places: dict[str, list[str]] = {}
    for block, done in runs.items():
        for dag_id in done["runs"]:
            places.setdefault(dag_id, []).append(str(block))
    assert {dag_id: found for dag_id, found in places.items() if len(found) > 1} == {}


def test_a_reason_is_given_for_what_is_not_run() -> None:
    assert DAGS
    for block in blocks():
        assert all(len(reason) > 10 for reason in block.marked("not run")), str(block)
