"""A real Milvus whose storage speaks S3 imports what ImportOperator has staged in its bucket."""

from __future__ import annotations

import json
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_vectordb.hooks.milvus import MilvusHook
from airflow_vectordb.local import LocalMilvus
from airflow_vectordb.operators.import_job import ImportOperator
from airflow_vectordb.rest import IndexSpec, collections, entities, import_jobs, indexes
from tests.support.local_api import connection_to
from tests.support.milvus_server import CannotHaveError, MilvusServer, installed
from tests.support.s3_server import BUCKET, KEY, SECRET, S3Server, s3_server

ROWS = 300
SETTINGS = {
    "MINIO_ACCESSKEYID": KEY,
    "MINIO_SECRETACCESSKEY": SECRET,
    "MINIO_BUCKETNAME": BUCKET,
    "MINIO_ROOTPATH": "milvus",
    "MINIO_USESSL": "false",
}


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    # The path of a Unix socket has to be short.
    with tempfile.TemporaryDirectory(prefix="s3-") as folder, s3_server(Path(folder, "socket")) as running:
        yield running


@pytest.fixture(scope="module")
def milvus_on_s3(s3: S3Server) -> Iterator[MilvusServer]:
    try:
        command = installed()
    except CannotHaveError as error:
        pytest.skip(f"no real Milvus: {error}")
    server = MilvusServer(command, (s3.socket, SETTINGS))
    try:
        server.wait()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def front_on_s3(milvus_on_s3: MilvusServer) -> Iterator[LocalMilvus]:
    with LocalMilvus(backend=milvus_on_s3.uri, token=None) as running:
        yield running


@pytest.fixture
def hook(
    s3: S3Server, milvus_on_s3: MilvusServer, front_on_s3: LocalMilvus, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MilvusHook]:
    monkeypatch.setenv("AIRFLOW_CONN_MILVUS_DEFAULT", connection_to(front_on_s3.uri, milvus_on_s3.token))
    monkeypatch.setenv("AIRFLOW_CONN_BUCKET", s3.connection())
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with MilvusHook() as opened:
        yield opened


def field(name: str, kind: str, **more: Any) -> dict[str, Any]:
    return {"fieldName": name, "dataType": kind, **more}


SCALARS: dict[str, Any] = {
    "Bool": lambda i: i % 2 == 0,
    "Int8": lambda i: i % 256 - 128,
    "Int16": lambda i: i - 2**15,
    "Int32": lambda i: i - 2**31,
    "Int64": lambda i: i - 2**63,
    "Float": lambda i: i / 8,
    "Double": lambda i: i / 3,
    "VarChar": lambda i: f'größe "{i}"\n',
    "JSON": lambda i: {"a": [i, None, "ä"]},
}
VECTORS: dict[str, tuple[Any, str, str]] = {
    "FloatVector": (lambda i: [i + 0.125] + [0.5] * 15, "FLAT", "L2"),
    "BinaryVector": (lambda i: list(struct.pack(">H", i)), "BIN_FLAT", "HAMMING"),
}


@pytest.mark.parametrize("kind", VECTORS)
def test_what_is_staged_is_what_an_insert_gives(hook: MilvusHook, s3: S3Server, kind: str) -> None:
    vector, index_type, metric = VECTORS[kind]
    fields = [field("id", "Int64", isPrimary=True), field("v", kind, elementTypeParams={"dim": 16})]
    fields += [
        field(f"x_{name.lower()}", name, **({"elementTypeParams": {"max_length": 50}} if name == "VarChar" else {}))
        for name in SCALARS
    ]
    schema = {"enableDynamicField": True, "fields": fields}
    index = IndexSpec("v", "v", index_type, metric)
    rows = [
        {"id": i, "v": vector(i), "more": i, **{f"x_{name.lower()}": make(i) for name, make in SCALARS.items()}}
        for i in range(ROWS)
    ]
    found = []
    for way in ("inserted", "imported"):
        name = f"{way}_{kind}"
        hook.send(collections.create(name, schema=schema))
        if way == "inserted":
            hook.insert(name, rows)
        else:
            task = ImportOperator(
                task_id="import",
                collection_name=name,
                rows=rows,
                stage_to=f"s3://{BUCKET}/staged/{kind}",
                stage_conn_id="bucket",
                deferrable=False,
                poll_interval=0.2,
                timeout=60,
            )
            ti = SimpleNamespace(try_number=1, dag_id="d", run_id="r", task_id="import", map_index=-1, max_tries=1)
            result = task.execute({"ti": ti})
            assert (result["rows"], result["skipped"]) == (ROWS, 0)
            (job,) = hook.send(import_jobs.list_(name))
            described = hook.send(import_jobs.describe(job.job_id))
            assert described.files[0].name.startswith(f"staged/{kind}/{name}-")
        hook.send(indexes.create(name, [index]))
        hook.load(name)
        query = entities.query(
            name, filter="id >= 0", output_fields=["*"], limit=ROWS, params={"consistencyLevel": "Strong"}
        )
        read = sorted(hook.send(query), key=lambda row: row["id"])
        found.append([{**row, "x_json": json.loads(row["x_json"])} for row in read])
    assert len(found[0]) == ROWS
    assert found[1] == found[0]
    assert s3.keys("staged") == []
