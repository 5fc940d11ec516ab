"""Loading a Parquet file: rows a second, processor time a row, and memory, beside what users write by hand.

Against servers that keep nothing, which shows what the client costs; then against one that does: Milvus Lite, or with
``--engine`` a real Milvus (``make test-engine`` installs it). ``--ingest-rows 100000`` for a longer run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import pytest

from airflow_vectordb.local import LocalMilvus
from airflow_vectordb.rest import collections
from airflow_vectordb.rest.config import MilvusConfig
from airflow_vectordb.rest.http.client import Client
from benchmarks.conftest import Rows
from benchmarks.loading import COLLECTION, WAYS, Cost, load, write_file
from benchmarks.sinks import KEY, TEXT, TEXT_LENGTH, VECTOR, sink

OURS, ROUNDS = "airflow_vectordb", 3
DIMENSION = 768
#: Most processor time, and least rows a second, as a share of the other's.
MOST_CPU = {"pymilvus, lists": 0.5, "pymilvus, NumPy": 0.8, "requests": 0.2}
LEAST_SPEED = {"pymilvus, lists": 1.0, "requests": 2.0}
#: Short rows and small requests, for as many requests in as little time.
SMALL_DIMENSION, SMALL_BATCH = 8, 200
FEW_ROWS, MOST_GROWTH = 10_000, 1.1


@pytest.fixture(scope="module")
def rows(pytestconfig: pytest.Config) -> int:
    return int(pytestconfig.getoption("--ingest-rows"))


@pytest.fixture(scope="module")
def file(rows: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("ingest") / "rows.parquet"
    write_file(path, rows, DIMENSION)
    yield path
    path.unlink()


def test_ingesting_costs_little(rows: int, file: Path, slack: float, print_table: Callable[[str, Rows], None]) -> None:
    costs: dict[str, list[Cost]] = {way: [] for way in WAYS}
    with sink("http", DIMENSION) as rest, sink("grpc", DIMENSION) as grpc:
        for number in range(ROUNDS):  # in turns, so that what else the machine does meets all alike
            for way, found in costs.items():
                if way != "requests" or number == 0:  # it takes as long as all others together
                    found.append(load(way, grpc if way.startswith("pymilvus") else rest, file))
    print_table(f"load {rows:,} rows of {DIMENSION} floats from Parquet; nothing is kept", _table(costs))
    for other, most in MOST_CPU.items():
        ratio = _ratio(costs, other, lambda cost: cost.cpu)
        assert ratio <= most * slack, f"{ratio:.2f} of the processor time of {other}"
    for other, least in LEAST_SPEED.items():
        ratio = 1 / _ratio(costs, other, lambda cost: cost.seconds)
        assert ratio >= least / slack, f"{ratio:.2f} of the rows a second of {other}"


def test_ingesting_takes_as_much_memory_for_many_rows(
    pytestconfig: pytest.Config, tmp_path: Path, print_table: Callable[[str, Rows], None]
) -> None:
    peaks: dict[int, float] = {}
    with sink("http", SMALL_DIMENSION) as rest:
        for count in (FEW_ROWS, int(pytestconfig.getoption("--many-rows"))):
            path = tmp_path / f"{count}.parquet"
            write_file(path, count, SMALL_DIMENSION)
            peaks[count] = load(OURS, rest, path, batch_rows=SMALL_BATCH).peak
            path.unlink()
    print_table(
        f"load rows of {SMALL_DIMENSION} floats, {SMALL_BATCH} a request",
        {f"{count:,} rows": {"peak MiB": peak} for count, peak in peaks.items()},
    )
    few, many = peaks.values()
    assert many <= few * MOST_GROWTH


def test_ingesting_into_a_database(
    pytestconfig: pytest.Config, rows: int, file: Path, slack: float, print_table: Callable[[str, Rows], None]
) -> None:
    token: str | None
    with ExitStack() as stack:
        if pytestconfig.getoption("--engine"):
            from tests.support.milvus_server import MilvusServer, installed

            milvus = MilvusServer(installed())
            stack.callback(milvus.stop)
            milvus.wait()
            front = stack.enter_context(LocalMilvus(backend=milvus.uri, token=None))
            name, token, ways = "Milvus", milvus.token, list(WAYS)
        else:
            milvus, front = None, stack.enter_context(LocalMilvus())
            # pymilvus has Milvus Lite in its own process: there is nothing to compare.
            name, token, ways = "Milvus Lite", front.token, [OURS, "requests"]
        costs: dict[str, list[Cost]] = {way: [] for way in ways}
        with Client(MilvusConfig(front.uri, token=token)) as client:
            for way, found in costs.items():
                client.send(collections.drop(COLLECTION))
                client.send(collections.create(COLLECTION, schema=_SCHEMA))
                direct = milvus is not None and way.startswith("pymilvus")
                found.append(load(way, milvus.uri if milvus and direct else front.uri, file, token=token))
    print_table(f"load {rows:,} rows of {DIMENSION} floats from Parquet into {name}", _table(costs))
    for other in ways[1:]:
        if other in MOST_CPU:
            ratio = _ratio(costs, other, lambda cost: cost.cpu)
            assert ratio <= MOST_CPU[other] * slack, f"{ratio:.2f} of the processor time of {other}"


_SCHEMA = {
    "fields": [
        {"fieldName": KEY, "dataType": "Int64", "isPrimary": True},
        {"fieldName": TEXT, "dataType": "VarChar", "elementTypeParams": {"max_length": TEXT_LENGTH}},
        {"fieldName": VECTOR, "dataType": "FloatVector", "elementTypeParams": {"dim": DIMENSION}},
    ]
}


def _ratio(costs: dict[str, list[Cost]], other: str, of: Callable[[Cost], float]) -> float:
    return median(of(ours) / of(theirs) for ours, theirs in zip(costs[OURS], costs[other], strict=False))


def _table(costs: dict[str, list[Cost]]) -> Rows:
    return {
        way: {
            "rows/s": median(cost.rows / cost.seconds for cost in found),
            "CPU µs/row": median(cost.cpu / cost.rows * 1e6 for cost in found),
            "peak MiB": median(cost.peak for cost in found),
        }
        for way, found in costs.items()
    }
