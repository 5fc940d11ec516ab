"""An ingest that is killed at any moment, and tried again: each row is there once."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pyarrow
import pytest
from pyarrow import parquet

from airflow_vectordb.local import LocalMilvus
from airflow_vectordb.rest import Client, MilvusConfig, collections, entities
from tests.support import ingest_process
from tests.support.local_api import connection_to

pytestmark = pytest.mark.slow
KILLS, ROWS, BATCH = 20, 3000, 50
#: Seconds, at the most, from the beginning of a request to the kill: so it comes at any moment of a request.
LATER = 0.03
#: Seconds: so long, a retry waits for what the server may still be doing for a process that was killed.
TIMEOUT = 1


@dataclass
class Ingests:
    """The program that ingests."""

    stdin: IO[str]
    stdout: IO[str]

    def run(self, arguments: dict[str, Any], kill_after: tuple[int, float] | None = None) -> int:
        """Ingest, and be killed so many seconds after so many requests were begun; return the exit status."""
        print(json.dumps({**arguments, "kill_after": kill_after}), file=self.stdin, flush=True)
        return int(self.stdout.readline())


@pytest.fixture(scope="module")
def client(server: LocalMilvus) -> Iterator[Client]:
    with Client(MilvusConfig(server.uri, token=server.token)) as made:
        yield made


@pytest.fixture(scope="module")
def ingests(server: LocalMilvus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ingests]:
    env = {
        **os.environ,
        "AIRFLOW_HOME": str(tmp_path_factory.mktemp("airflow")),
        "AIRFLOW_CONN_MILVUS_DEFAULT": connection_to(server.uri, server.token, extra={"timeout": TIMEOUT}),
        "NO_PROXY": "*",
    }
    command = [sys.executable, "-m", ingest_process.__name__]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=env, stdin=pipe, stdout=pipe, text=True) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        yield Ingests(program.stdin, program.stdout)
        program.stdin.close()


def keyed() -> list[dict[str, Any]]:
    return [{"id": number, **ingest_process.row(number)} for number in range(ROWS)]


def parquet_file(folder: Path) -> dict[str, Any]:
    parquet.write_table(pyarrow.Table.from_pylist(keyed()), folder / "rows.parquet", row_group_size=700)
    return {"source": str(folder / "rows.parquet")}


def json_lines(folder: Path, rows: list[dict[str, Any]]) -> dict[str, Any]:
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {"source": str(folder / "rows.jsonl")}


@pytest.mark.parametrize("way", ["own keys upsert", "own keys insert", "auto ids", "Parquet", "JSON lines"])
def test_each_row_is_there_once(
    way: str, ingests: Ingests, client: Client, tmp_path: Path, record_property: Any
) -> None:
    auto = way == "auto ids"
    given: dict[str, Any] = {"rows": ROWS} if auto else json_lines(tmp_path, keyed())
    if way == "Parquet":
        given = parquet_file(tmp_path)
    if auto:
        given["key_field"] = "name"
    elif way != "JSON lines":
        given["mode"] = "insert" if way == "own keys insert" else "upsert"

    def new(name: str) -> dict[str, Any]:
        schema = {
            "autoID": auto,
            "fields": [
                {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
                {"fieldName": "name", "dataType": "VarChar", "elementTypeParams": {"max_length": 20}},
                {"fieldName": "vector", "dataType": "FloatVector", "elementTypeParams": {"dim": 16}},
            ],
        }
        index = {"fieldName": "vector", "indexName": "vector", "metricType": "L2", "indexType": "FLAT", "params": {}}
        client.send(collections.create(name, schema=schema, index_params=[index]))
        files = {"state": str(tmp_path / f"{name}.state"), "requests": str(tmp_path / f"{name}.requests")}
        return {"collection_name": name, "batch_rows": BATCH, **given, **files}

    prefix = way.replace(" ", "_")
    rng = random.Random(way)
    repeated = kills = number = 0
    while kills < KILLS:
        name = f"{prefix}_{number}"
        number += 1
        arguments = new(name)
        status = ingests.run(arguments, kill_after=(rng.randrange(ROWS // BATCH), rng.uniform(0, LATER)))
        if status:
            kills += 1
            assert os.WTERMSIG(status) == signal.SIGKILL
            assert ingests.run(arguments) == 0
        written = [json.loads(line) for line in Path(arguments["requests"]).read_text().splitlines()]
        repeated += len(written) - ROWS // BATCH
        assert client.send(entities.count(name)) == ROWS
        names: set[str] = set()
        for start in range(0, ROWS, 500):
            wanted = json.dumps([ingest_process.row(i)["name"] for i in range(start, start + 500)])
            query = entities.query(name, filter=f"name in {wanted}", output_fields=["name"], limit=1000)
            names |= {row["name"] for row in client.send(query)}
        assert len(names) == ROWS
        if not auto:
            # The local server replaces a row by another of its key, where Milvus would have both.
            inserted = Counter(key for verb, keys in written if verb == "insert" for key in keys)
            assert max(inserted.values(), default=1) == 1
        client.send(collections.drop(name))
    record_property("repeated requests", repeated)
    print(f"{way}: {kills} kills, {repeated} of {kills * ROWS // BATCH} requests repeated")
