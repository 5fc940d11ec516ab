"""The local server beside pymilvus, over the same engine: small calls, a search, and rows on their way in

Ours is HTTP and JSON to the server's process, pymilvus gRPC to a process of Milvus Lite's own; each with a directory.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from benchmarks.report import Report, Row, Value
from benchmarks.timing import Times, in_turns

ROWS = 2000
DIMENSION = 256
#: Calls that are timed together, because one alone is short.
CALLS = 20
REPETITIONS = 7
INSERTS = 5
COLLECTION = "docs"

OURS = "local server, requests"
PYMILVUS = "pymilvus, gRPC"

Job = Callable[[], object]

# The engine as pymilvus starts it, with its gRPC port; it ends with its standard input.
_ENGINE = """
import sys
from concurrent.futures import ThreadPoolExecutor
import grpc
from milvus_lite.adapter.grpc.servicer import MilvusServicer
from milvus_lite.db import MilvusLite
from pymilvus.grpc_gen import milvus_pb2_grpc
options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
server = grpc.server(ThreadPoolExecutor(max_workers=10), options=options)
database = MilvusLite(sys.argv[1])
milvus_pb2_grpc.add_MilvusServiceServicer_to_server(MilvusServicer(database), server)
print(server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
sys.stdin.read()
server.stop(grace=1).wait()
database.close()
"""


def run() -> Report:
    """Measure."""
    try:
        version("pymilvus"), version("milvus-lite"), version("fastapi"), version("uvicorn")
    except PackageNotFoundError as error:
        return Report([Row(name, remark=f"{error.name} is not installed") for name in (OURS, PYMILVUS)])
    with ExitStack() as stack:
        rows = _rows()
        clients = {
            OURS: stack.enter_context(_ours(rows)),
            PYMILVUS: stack.enter_context(_pymilvus(rows)),
        }
        times = {
            what: in_turns({name: _again(jobs[what]) for name, jobs in clients.items()}, REPETITIONS)
            for what in ("has_collection", "describe_collection", "get one row", "search, 10 hits")
        }
        inserting = in_turns({name: jobs["insert"] for name, jobs in clients.items()}, INSERTS)
    table = [_row(what, name, found, CALLS) for what, found in times.items() for name in clients]
    table += [_row("insert", name, inserting, 1) for name in clients]
    return Report(
        table,
        [
            f"{ROWS:,} rows of {DIMENSION} floats, an HNSW index. Medians of {REPETITIONS} rounds of {CALLS} calls"
            f" ({INSERTS} of one insert with all rows, each under new keys), taken in turns; one connection, kept open."
            " pymilvus keeps a collection's schema between calls. Added: what the local server takes more (or less),"
            " the median over the rounds.",
        ],
    )


def _again(job: Job) -> Job:
    def several() -> None:
        for _ in range(CALLS):
            job()

    return several


def _row(what: str, name: str, times: Times, calls: int) -> Row:
    values: dict[str, Value] = {"ms a call": 1000 * times.median(name) / calls}
    if what == "insert":
        values["rows/s"] = round(ROWS / times.median(name))
    if name == OURS:
        differences = [one - other for one, other in zip(times.rounds[OURS], times.rounds[PYMILVUS], strict=True)]
        values["added ms"] = 1000 * sorted(differences)[len(differences) // 2] / calls
    return Row(f"{what}: {name}", values)


def _rows() -> list[dict[str, Any]]:
    import numpy as np

    vectors = np.random.default_rng(30).standard_normal((ROWS, DIMENSION), dtype=np.float32)
    return [{"id": number, "vector": vector.tolist()} for number, vector in enumerate(vectors)]


class _Keys:
    """Rows under keys that were not there before, so that no insert replaces any."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self._rows = rows
        self._next = ROWS

    def __call__(self) -> list[dict[str, Any]]:
        start, self._next = self._next, self._next + len(self._rows)
        return [{**row, "id": start + number} for number, row in enumerate(self._rows)]


@contextmanager
def _ours(rows: list[dict[str, Any]]) -> Iterator[dict[str, Job]]:
    from airflow_vectordb.local import LocalMilvus
    from airflow_vectordb.rest import Client, IndexSpec, MilvusConfig, collections, entities, indexes

    index = IndexSpec(
        "vector", index_name="vector", index_type="HNSW", metric_type="COSINE", params={"M": 16, "efConstruction": 200}
    )
    schema = {
        "fields": [
            {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
            {"fieldName": "vector", "dataType": "FloatVector", "elementTypeParams": {"dim": DIMENSION}},
        ]
    }
    new, vector = _Keys(rows), rows[7]["vector"]
    with LocalMilvus() as server, Client(MilvusConfig(server.uri, token=server.token)) as client:
        for name in (COLLECTION, "filling"):
            client.send(collections.create(name, schema=schema))
        client.send(entities.insert(COLLECTION, rows))
        client.send(collections.flush(COLLECTION))
        client.send(indexes.create(COLLECTION, [index]))
        client.send(collections.load(COLLECTION))
        yield {
            "has_collection": lambda: client.send(collections.has(COLLECTION)),
            "describe_collection": lambda: client.send(collections.describe(COLLECTION)),
            "get one row": lambda: client.send(entities.get(COLLECTION, [5], output_fields=["id"])),
            "search, 10 hits": lambda: client.send(entities.search(COLLECTION, [vector], limit=10)),
            "insert": lambda: client.send(entities.insert("filling", new())),
        }


@contextmanager
def _pymilvus(rows: list[dict[str, Any]]) -> Iterator[dict[str, Job]]:
    from pymilvus import DataType, MilvusClient

    new, vector = _Keys(rows), rows[7]["vector"]
    with tempfile.TemporaryDirectory() as directory, _engine(directory) as url:
        client = MilvusClient(url)
        schema = client.create_schema()
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=DIMENSION)
        for name in (COLLECTION, "filling"):
            client.create_collection(name, schema=schema)
        client.insert(COLLECTION, rows)
        client.flush(COLLECTION)
        # As JSON under one key: otherwise this engine forgets them.
        build = {"params": json.dumps({"M": 16, "efConstruction": 200})}
        params = client.prepare_index_params()
        params.add_index("vector", index_type="HNSW", metric_type="COSINE", params=build)
        client.create_index(COLLECTION, params)
        client.load_collection(COLLECTION)
        yield {
            "has_collection": lambda: client.has_collection(COLLECTION),
            "describe_collection": lambda: client.describe_collection(COLLECTION),
            "get one row": lambda: client.get(COLLECTION, [5], output_fields=["id"]),
            "search, 10 hits": lambda: client.search(COLLECTION, [vector], limit=10),
            "insert": lambda: client.insert("filling", new()),
        }
        client.close()


@contextmanager
def _engine(directory: str) -> Iterator[str]:
    arguments = [sys.executable, "-c", _ENGINE, directory]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.stdin.close()
            process.wait(30)


__all__ = ["run"]
