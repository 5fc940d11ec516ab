"""Databases to load into: a URL for REST, another for pymilvus, and the processes whose time it takes.

As a program, Milvus Lite as pymilvus starts it for a file, but in a process of its own: ``DIRECTORY``.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from pymilvus import DataType, MilvusClient

from airflow_vectordb.local import LocalMilvus
from airflow_vectordb.rest import collections
from airflow_vectordb.rest.config import MilvusConfig
from airflow_vectordb.rest.http.client import Client
from benchmarks.loading import COLLECTION, Cost, load
from benchmarks.sinks import KEY, TEXT, TEXT_LENGTH, VECTOR


@dataclass(frozen=True)
class Database:
    """
    A database.

    :param name: for tables
    :param rest: URL of its REST API
    :param grpc: URL for pymilvus
    :param token: what it lets in
    :param pids: its processes, except what they start
    """

    name: str
    rest: str
    grpc: str
    token: str | None
    pids: tuple[int, ...]

    def load(self, way: str, path: Path, dimension: int, *, batch_rows: int = 1000) -> tuple[Cost, float]:
        """
        Load a file into a new collection.

        :param way: one of :data:`benchmarks.loading.WAYS`
        :param path: of the file
        :param dimension: of its vectors
        :param batch_rows: rows of a request
        :return: what it took, and the seconds of processor time that the database took meanwhile
        """
        url = self.grpc if way.startswith("pymilvus") else self.rest
        self._create(url, dimension)
        before = self._cpu()
        cost = load(way, url, path, token=self.token, batch_rows=batch_rows)
        return cost, self._cpu() - before

    def _create(self, url: str, dimension: int) -> None:
        if url == self.rest:
            with Client(MilvusConfig(url, token=self.token)) as client:
                client.send(collections.drop(COLLECTION))
                client.send(collections.create(COLLECTION, schema=_schema(dimension)))
            return
        # A connection of its own, which close() closes: a shared one pings on, and servers end one that only pings.
        other = MilvusClient(url, token=self.token or "", dedicated=True)
        other.drop_collection(COLLECTION)
        schema = other.create_schema()
        schema.add_field(KEY, DataType.INT64, is_primary=True)
        schema.add_field(TEXT, DataType.VARCHAR, max_length=TEXT_LENGTH)
        schema.add_field(VECTOR, DataType.FLOAT_VECTOR, dim=dimension)
        other.create_collection(COLLECTION, schema=schema)
        other.close()

    def _cpu(self) -> float:
        processes = [psutil.Process(pid) for pid in self.pids]
        times = [one.cpu_times() for first in processes for one in (first, *first.children(recursive=True))]
        return sum(time.user + time.system for time in times)


def _schema(dimension: int) -> dict[str, object]:
    return {
        "fields": [
            {"fieldName": KEY, "dataType": "Int64", "isPrimary": True},
            {"fieldName": TEXT, "dataType": "VarChar", "elementTypeParams": {"max_length": TEXT_LENGTH}},
            {"fieldName": VECTOR, "dataType": "FloatVector", "elementTypeParams": {"dim": dimension}},
        ]
    }


@contextmanager
def milvus() -> Iterator[Database]:
    """Run a real Milvus for a ``with`` block, and our REST server before it."""
    from tests.support.milvus_server import MilvusServer, installed

    server = MilvusServer(installed())
    try:
        server.wait()
        with LocalMilvus(backend=server.uri, token=None) as front:
            yield Database("Milvus", front.uri, server.uri, server.token, (front.pid, server.pid))
    finally:
        server.stop()


@contextmanager
def milvus_lite() -> Iterator[Database]:
    """Run Milvus Lite twice for a ``with`` block: in our REST server, and as pymilvus runs it."""
    root = Path(__file__).parent.parent
    with (
        LocalMilvus(token=None) as ours,
        tempfile.TemporaryDirectory() as directory,
        subprocess.Popen(
            [sys.executable, "-m", __name__, directory], stdout=subprocess.PIPE, text=True, cwd=root
        ) as theirs,
    ):
        assert theirs.stdout is not None
        try:
            grpc = f"http://127.0.0.1:{int(theirs.stdout.readline())}"
            yield Database("Milvus Lite", ours.uri, grpc, None, (ours.pid, theirs.pid))
        finally:
            theirs.kill()


def _main() -> None:
    from milvus_lite.adapter.grpc.server import start_server_in_thread

    server, _, port = start_server_in_thread(sys.argv[1])
    print(port, flush=True)
    server.wait_for_termination()


__all__ = ["Database", "milvus", "milvus_lite"]

if __name__ == "__main__":
    _main()
