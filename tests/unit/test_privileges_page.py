"""The privileges in docs/production.md: those that Milvus's protocol declares for the calls that tasks really make."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from pymilvus.grpc_gen import common_pb2, milvus_pb2

from airflow_vectordb.operators.alias import SwitchAliasOperator
from airflow_vectordb.operators.collection import LoadCollectionOperator, ReleaseCollectionOperator
from airflow_vectordb.operators.import_job import ImportOperator
from airflow_vectordb.operators.index import CreateIndexOperator, DropIndexOperator
from airflow_vectordb.operators.ingest import DeleteOperator, IngestOperator
from airflow_vectordb.sensors.milvus import CollectionLoadSensor, ImportSensor, IndexSensor
from tests.support.docs_pages import ROOT
from tests.support.harness import HNSW, Clock, Operating
from tests.support.loading_milvus import LoadingMilvus, Worker, let_the_loop_sleep_by
from tests.support.scripted import ScriptedServer

SECTION = (ROOT / "docs" / "production.md").read_text().partition("## Privileges\n")[2].partition("\n## ")[0]
#: The request of Milvus's protocol that a call of the RESTful API becomes.
REQUESTS = {
    "aliases/alter": "AlterAliasRequest",
    "aliases/create": "CreateAliasRequest",
    "aliases/describe": "DescribeAliasRequest",
    "collections/describe": "DescribeCollectionRequest",
    "collections/flush": "FlushRequest",
    "collections/get_load_state": "GetLoadStateRequest",
    "collections/get_stats": "GetCollectionStatisticsRequest",
    "collections/load": "LoadCollectionRequest",
    "collections/release": "ReleaseCollectionRequest",
    "entities/delete": "DeleteRequest",
    "entities/insert": "InsertRequest",
    "entities/query": "QueryRequest",
    "entities/upsert": "UpsertRequest",
    "indexes/create": "CreateIndexRequest",
    "indexes/describe": "DescribeIndexRequest",
    "indexes/drop": "DropIndexRequest",
    "indexes/list": "DescribeIndexRequest",
    "jobs/import/create": "ImportAuthPlaceholder",
    "jobs/import/describe": "GetImportProgressAuthPlaceholder",
    "jobs/import/list": "ListImportsAuthPlaceholder",
    "partitions/list": "ShowPartitionsRequest",
    "partitions/load": "LoadPartitionsRequest",
    "partitions/release": "ReleasePartitionsRequest",
}
ANOTHER = {**HNSW, "params": {"M": 32, "efConstruction": 200}}
ROWS = [{"id": 1, "vector": [1.0] * 8, "sparse": {"1": 0.5}, "label": "a"}]
Task = tuple[type[Any], dict[str, Any], dict[str, Any]]
#: First cell of the table -> tasks, as class, arguments, and what the server has.
TASKS: dict[str, list[Task]] = {
    "`CreateIndexOperator`": [(CreateIndexOperator, {"index_params": HNSW}, {"indexed": False, "aliases": ("docs",)})],
    "… with `flush=True`": [
        (
            CreateIndexOperator,
            {"index_params": HNSW, "flush": True},
            {"indexed": False, "loaded": {"a"}, "aliases": ("docs",)},
        )
    ],
    '… with `if_exists="replace"`': [
        (CreateIndexOperator, {"index_params": ANOTHER, "if_exists": "replace"}, {"loaded": {"_default", "a"}}),
        (
            CreateIndexOperator,
            {"index_params": ANOTHER, "if_exists": "replace"},
            {"loaded": {"a"}, "aliases": ("docs",)},
        ),
    ],
    "`DropIndexOperator`": [(DropIndexOperator, {"index_name": "vector"}, {})],
    "`LoadCollectionOperator`": [
        (LoadCollectionOperator, {}, {}),
        (LoadCollectionOperator, {"partition_names": ["a"]}, {}),
    ],
    "`ReleaseCollectionOperator`": [
        (ReleaseCollectionOperator, {}, {"loaded": {"_default", "a"}}),
        (ReleaseCollectionOperator, {"partition_names": ["a"]}, {"loaded": {"_default", "a"}}),
    ],
    "`SwitchAliasOperator`": [
        (SwitchAliasOperator, {"alias": "live"}, {"loaded": {"_default", "a"}}),
        (SwitchAliasOperator, {"alias": "live", "min_rows": 1}, {"loaded": {"_default", "a"}}),
    ],
    "`IngestOperator`": [
        (IngestOperator, {"rows": ROWS, "flush": True}, {}),
        (IngestOperator, {"rows": ROWS, "mode": "insert"}, {}),
        (IngestOperator, {"rows": ROWS}, {"aliases": ("docs",)}),
    ],
    "`DeleteOperator`": [
        (DeleteOperator, {"filter": "id > 3", "dry_run": True}, {}),
        (DeleteOperator, {"ids": [1]}, {"aliases": ("docs",)}),
    ],
    "`ImportOperator`": [
        (ImportOperator, {"files": "a.parquet"}, {}),
        (ImportOperator, {"rows": ROWS, "stage_to": "staging"}, {}),
    ],
    "`IndexSensor`": [(IndexSensor, {}, {}), (IndexSensor, {"index_name": "vector"}, {})],
    "`CollectionLoadSensor`": [(CollectionLoadSensor, {}, {"loaded": {"_default", "a"}})],
    "`ImportSensor`": [(ImportSensor, {"job_id": "17"}, {})],
}


def privilege(request: str) -> str:
    """Read the privilege that Milvus's protocol declares for a request."""
    options = getattr(milvus_pb2, request).DESCRIPTOR.GetOptions()
    number = options.Extensions[common_pb2.privilege_ext_obj].object_privilege
    return str(common_pb2.ObjectPrivilege.Name(number).removeprefix("Privilege"))


def rows(table: str) -> dict[str, set[str]]:
    """Read one of the section's tables."""
    (text,) = re.findall(rf"^\| {table} \|[^\n]*\n\| --- \|[^\n]*\n((?:\|[^\n]*\n)+)", SECTION, re.MULTILINE)
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines()]
    return {first: set(re.findall(r"`(\w+)`", second)) for first, second in cells}


def union(sets: Iterable[set[str]]) -> set[str]:
    return {name for names in sets for name in names}


@pytest.mark.parametrize("row", TASKS)
def test_what_a_task_needs_is_what_its_calls_declare(
    row: str,
    serve: Callable[..., ScriptedServer],
    operating: Operating,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    let_the_loop_sleep_by(clock, monkeypatch)
    needed: set[str] = set()
    for kind, arguments, has in TASKS[row]:
        milvus = LoadingMilvus(
            collection="docs_1" if "aliases" in has else "docs",
            aliases=has.get("aliases", ()),
            partitions=["_default", "a"],
            loaded=set(has.get("loaded", ())),
            takes={"build": 5.0},
        )
        if has.get("indexed", True):
            milvus.add("vector", M=16, efConstruction=200)
        server = serve(milvus)
        operating.connect(server)
        given = {"task_id": "it", "collection_name": "docs", "deferrable": False, **arguments}
        if kind in (DropIndexOperator, IngestOperator, DeleteOperator):
            del given["deferrable"]
        Worker(lambda kind=kind, given=given: kind(**given), monkeypatch).run()  # type: ignore[misc]
        needed |= {privilege(REQUESTS[path]) for path in server.paths}

    told = rows("task")
    assert needed == (told["`CreateIndexOperator`"] if row.startswith("…") else set()) | told[row]


def test_every_task_is_told() -> None:
    assert set(rows("task")) == {*TASKS, "the Test button"}


def test_every_name_is_one_of_milvus() -> None:
    known = {name.removeprefix("Privilege") for name, _ in common_pb2.ObjectPrivilege.items()}
    told = union(rows("task").values()) | union(rows("call").values())
    assert told
    assert told - {"True", "replace"} <= known
