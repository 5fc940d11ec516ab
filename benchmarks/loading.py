"""Ways to load or stage a Parquet file, each by itself: ``python -m benchmarks.loading WAY URL FILE ROWS TOKEN``."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import local
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import requests
from pymilvus import MilvusClient

from airflow_vectordb.ingest.bad_rows import BadRows
from airflow_vectordb.ingest.files import open_file
from airflow_vectordb.ingest.options import PART_BYTES, Options
from airflow_vectordb.ingest.run import ingest
from airflow_vectordb.ingest.staging import stage
from airflow_vectordb.rest import collections
from airflow_vectordb.rest.config import MilvusConfig
from airflow_vectordb.rest.http.call import Call
from airflow_vectordb.rest.http.client import Client
from benchmarks.sinks import KEY, TEXT, TEXT_LENGTH, VECTOR

COLLECTION = "docs"
GROUP_ROWS = 5_000

Row = dict[str, Any]
#: Prepares to load a file, and returns what does it: URL, file, token.
Way = Callable[[str, "_File", str | None], Callable[[], object]]


@dataclass(frozen=True)
class _File:
    """A Parquet file, in batches of so many rows."""

    path: Path
    rows: int

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        yield from pq.ParquetFile(self.path, pre_buffer=False).iter_batches(self.rows)

    @property
    def total(self) -> int:
        return int(pq.read_metadata(self.path).num_rows)

    @property
    def folder(self) -> Path:
        return self.path.with_suffix("")


@dataclass(frozen=True)
class Cost:
    """
    What it took to load a file.

    :param rows: that were loaded
    :param seconds: from the first row's reading to the last acknowledgement
    :param cpu: seconds of processor time meanwhile, of all threads
    :param peak: the most memory that the process had, in MiB
    """

    rows: int
    seconds: float
    cpu: float
    peak: float


def write_file(path: Path, rows: int, dimension: int) -> None:
    """Write a Parquet file of keys, texts and vectors, a row group at a time."""
    schema = pa.schema([(KEY, pa.int64()), (TEXT, pa.string()), (VECTOR, pa.list_(pa.float32()))])
    random = np.random.default_rng(12)
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, GROUP_ROWS):
            keys = range(start, min(start + GROUP_ROWS, rows))
            numbers = pa.array(random.standard_normal(len(keys) * dimension, dtype=np.float32))
            ends = pa.array(range(0, (len(keys) + 1) * dimension, dimension), pa.int32())
            texts = [f"paragraph {key} of the handbook, cut where a sentence ends" for key in keys]
            writer.write_table(
                pa.table([pa.array(keys), pa.array(texts), pa.ListArray.from_arrays(ends, numbers)], schema=schema)
            )


def load(way: str, url: str, path: Path, *, token: str | None = None, batch_rows: int = 1000) -> Cost:
    """
    Load a file in a fresh process.

    :param way: one of :data:`WAYS` or :data:`STAGING`
    :param url: of the server
    :param path: of the file
    :param token: what the server lets in; None: anyone
    :param batch_rows: rows of a request
    """
    command = [sys.executable, "-m", __name__, way, url, str(path), str(batch_rows), token or ""]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent.parent)
    if run.returncode:
        raise RuntimeError(f"loading with {way} failed: {run.stderr.strip()[-2000:]}")
    return Cost(**json.loads(run.stdout.splitlines()[-1]))


def _ours(url: str, batches: _File, token: str | None) -> Callable[[], object]:
    config = MilvusConfig(url, token=token)
    collection = _described(config)
    source = open_file(batches.path)
    options = Options(mode="insert", batch_rows=batches.rows)
    ours = local()

    def send(call: Call[Any]) -> Any:
        if not hasattr(ours, "client"):
            ours.client = Client(config)
        return ours.client.send(call)

    return lambda: ingest([source], collection, send, options, BadRows())


def _described(config: MilvusConfig) -> collections.Collection:
    with Client(config) as client:
        return client.send(collections.describe(COLLECTION))


def _dimension(collection: collections.Collection) -> int:
    return next(int(field.params["dim"]) for field in collection.fields if field.name == VECTOR)


def _with_pymilvus(rows_of: Callable[[pa.RecordBatch], list[Row]]) -> Way:
    def prepare(url: str, batches: _File, token: str | None) -> Callable[[], object]:
        client = MilvusClient(url, token=token or "")
        client.describe_collection(COLLECTION)

        def run() -> None:
            for batch in batches:
                client.insert(COLLECTION, rows_of(batch))

        return run

    return prepare


def _with_requests(url: str, batches: _File, token: str | None) -> Callable[[], object]:
    session = requests.Session()
    session.trust_env = False
    session.headers.update({"Authorization": f"Bearer {token}"} if token else {})

    def run() -> None:
        for batch in batches:
            body = {"collectionName": COLLECTION, "data": batch.to_pylist()}
            answer = session.post(f"{url}/v2/vectordb/entities/insert", json=body, timeout=300).json()
            if answer["code"]:
                raise RuntimeError(answer["message"])

    return run


def _rows_of_arrays(batch: pa.RecordBatch) -> list[Row]:
    keys, texts, vectors = (batch.column(name) for name in (KEY, TEXT, VECTOR))
    arrays = vectors.flatten().to_numpy().reshape(len(batch), -1)
    columns = zip(keys.to_pylist(), texts.to_pylist(), arrays, strict=True)
    return [{KEY: key, TEXT: text, VECTOR: vector} for key, text, vector in columns]


def _staged(url: str, batches: _File, token: str | None) -> Callable[[], object]:
    collection = _described(MilvusConfig(url, token=token))
    source = open_file(batches.path)
    return lambda: stage([source], collection, lambda n: (batches.folder / f"{n}.parquet").open("wb"), BadRows())


def _with_bulk_writer(rows_of: Callable[[pa.RecordBatch], list[Row]]) -> Way:
    def prepare(url: str, batches: _File, token: str | None) -> Callable[[], object]:
        from pymilvus import CollectionSchema, DataType, FieldSchema
        from pymilvus.bulk_writer import LocalBulkWriter

        dimension = _dimension(_described(MilvusConfig(url, token=token)))
        fields = [
            FieldSchema(KEY, DataType.INT64, is_primary=True),
            FieldSchema(TEXT, DataType.VARCHAR, max_length=TEXT_LENGTH),
            FieldSchema(VECTOR, DataType.FLOAT_VECTOR, dim=dimension),
        ]
        writer = LocalBulkWriter(CollectionSchema(fields), str(batches.folder), chunk_size=PART_BYTES)

        def run() -> None:
            for batch in batches:
                for row in rows_of(batch):
                    writer.append_row(row)
            writer.commit()

        return run

    return prepare


OURS = "airflow_vectordb"
#: Ways to a server.
WAYS: dict[str, Way] = {
    OURS: _ours,
    "pymilvus, lists": _with_pymilvus(pa.RecordBatch.to_pylist),
    "pymilvus, NumPy": _with_pymilvus(_rows_of_arrays),
    "requests": _with_requests,
}
#: Ways to files that Milvus's importer reads, in a folder beside the file. The server describes the collection.
STAGING: dict[str, Way] = {
    OURS + ", staging": _staged,
    "BulkWriter, lists": _with_bulk_writer(pa.RecordBatch.to_pylist),
    "BulkWriter, NumPy": _with_bulk_writer(_rows_of_arrays),
}


def _main() -> None:
    way, url, path, rows, token = sys.argv[1:]
    batches = _File(Path(path), int(rows))
    run = {**WAYS, **STAGING}[way](url, batches, token or None)
    began, cpu = time.perf_counter(), time.process_time()
    run()
    cost = Cost(batches.total, time.perf_counter() - began, time.process_time() - cpu, _peak())
    print(json.dumps(asdict(cost)))


def _peak() -> float:
    # Not ru_maxrss, which begins with that of the process that started this one.
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


__all__ = ["COLLECTION", "OURS", "STAGING", "WAYS", "Cost", "load", "write_file"]

if __name__ == "__main__":
    _main()
