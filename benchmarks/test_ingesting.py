"""Loading a Parquet file: rows a second, processor time a row, and memory, beside what users write by hand.

Against servers that keep nothing, which shows what the client costs; then against one that does: Milvus Lite, or with
``--engine`` a real Milvus (``make test-engine`` installs it). ``--ingest-rows 100000`` for a longer run.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import pytest

from benchmarks.conftest import Rows
from benchmarks.databases import Database, milvus, milvus_lite
from benchmarks.loading import OURS, STAGING, WAYS, Cost, load, write_file
from benchmarks.sinks import sink

ROUNDS = 3
DIMENSION = 768
#: Most processor time, and least rows a second, as a share of the other's. Rows a second into a database are as many as
#: it takes, through our REST server here and without one there.
MOST_CPU = {"pymilvus, lists": 0.5, "pymilvus, NumPy": 0.8, "requests": 0.2, "BulkWriter, lists": 0.5}
LEAST_SPEED = {"pymilvus, lists": 1.0, "requests": 2.0, "BulkWriter, lists": 1.0}
LEAST_SPEED_INTO_DATABASE = {"pymilvus, lists": 1.0, "pymilvus, NumPy": 0.6}
#: Short rows and small requests, for as many requests in as little time.
SMALL_DIMENSION, SMALL_BATCH = 8, 200
#: Of such rows into a database, which takes as long for few as for many.
LARGE_BATCH = 2000
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


@pytest.fixture(scope="module")
def database(pytestconfig: pytest.Config) -> Iterator[Database]:
    with milvus() if pytestconfig.getoption("--engine") else milvus_lite() as running:
        yield running


def test_ingesting_costs_little(rows: int, file: Path, slack: float, print_table: Callable[[str, Rows], None]) -> None:
    costs: dict[str, list[Cost]] = {way: [] for way in WAYS}
    with sink("http", DIMENSION) as rest, sink("grpc", DIMENSION) as grpc:
        for way in _turns():
            costs[way].append(load(way, grpc if way.startswith("pymilvus") else rest, file))
    print_table(f"load {rows:,} rows of {DIMENSION} floats from Parquet; nothing is kept", _table(costs))
    _check(costs, OURS, slack, MOST_CPU, LEAST_SPEED)


def test_staging_costs_little(rows: int, file: Path, slack: float, print_table: Callable[[str, Rows], None]) -> None:
    costs: dict[str, list[Cost]] = {way: [] for way in STAGING}
    folder = file.with_suffix("")
    with sink("http", DIMENSION) as rest:
        for way, found in costs.items():
            folder.mkdir()
            found.append(load(way, rest, file))
            shutil.rmtree(folder)
    print_table(f"stage {rows:,} rows of {DIMENSION} floats from Parquet as Parquet", _table(costs))
    _check(costs, next(iter(STAGING)), slack, MOST_CPU, LEAST_SPEED)


def test_ingesting_into_a_database(
    rows: int, file: Path, slack: float, database: Database, print_table: Callable[[str, Rows], None]
) -> None:
    costs: dict[str, list[Cost]] = {way: [] for way in WAYS}
    of_database: dict[str, list[float]] = {way: [] for way in WAYS}
    for way in _turns():
        cost, seconds = database.load(way, file, DIMENSION)
        costs[way].append(cost)
        of_database[way].append(seconds / cost.rows * 1e6)
    table = {way: {**row, "database's": median(of_database[way])} for way, row in _table(costs).items()}
    print_table(f"load {rows:,} rows of {DIMENSION} floats from Parquet into {database.name}", table)
    _check(costs, OURS, slack, MOST_CPU, LEAST_SPEED_INTO_DATABASE)


def test_ingesting_takes_as_much_memory_for_many_rows(
    pytestconfig: pytest.Config, tmp_path: Path, print_table: Callable[[str, Rows], None]
) -> None:
    with sink("http", SMALL_DIMENSION) as rest:
        _check_memory(
            lambda path: load(OURS, rest, path, batch_rows=SMALL_BATCH),
            int(pytestconfig.getoption("--many-rows")),
            tmp_path,
            lambda rows: print_table(f"load rows of {SMALL_DIMENSION} floats, {SMALL_BATCH} a request", rows),
        )


def test_ingesting_into_a_database_takes_as_much_memory_for_many_rows(
    pytestconfig: pytest.Config, tmp_path: Path, database: Database, print_table: Callable[[str, Rows], None]
) -> None:
    if not pytestconfig.getoption("--engine"):
        pytest.skip("Milvus Lite takes long for many rows")
    _check_memory(
        lambda path: database.load(OURS, path, SMALL_DIMENSION, batch_rows=LARGE_BATCH)[0],
        int(pytestconfig.getoption("--many-rows")),
        tmp_path,
        lambda rows: print_table(
            f"load rows of {SMALL_DIMENSION} floats into {database.name}, {LARGE_BATCH:,} a request", rows
        ),
    )


def _check_memory(
    load_file: Callable[[Path], Cost], many: int, folder: Path, print_rows: Callable[[Rows], None]
) -> None:
    peaks: dict[int, float] = {}
    for count in (FEW_ROWS, many):
        path = folder / f"{count}.parquet"
        write_file(path, count, SMALL_DIMENSION)
        peaks[count] = load_file(path).peak
        path.unlink()
    print_rows({f"{count:,} rows": {"peak MiB": peak} for count, peak in peaks.items()})
    assert peaks[many] <= peaks[FEW_ROWS] * MOST_GROWTH


def _turns() -> Iterator[str]:
    """Give the ways in turns, so that what else the machine does meets all alike."""
    for number in range(ROUNDS):
        # The last takes as long as all others together.
        yield from (way for way in WAYS if way != "requests" or number == 0)


def _check(
    costs: dict[str, list[Cost]],
    ours: str,
    slack: float,
    most_cpu: dict[str, float],
    least_speed: dict[str, float],
) -> None:
    def ratio(other: str, of: Callable[[Cost], float]) -> float:
        # The best of each: what else the machine does only ever adds to them.
        return min(map(of, costs[ours])) / min(map(of, costs[other]))

    cpu = {other: ratio(other, lambda cost: cost.cpu) for other in most_cpu if other in costs}
    assert all(found <= most_cpu[other] * slack for other, found in cpu.items()), f"shares of processor time: {cpu}"
    speed = {other: 1 / ratio(other, lambda cost: cost.seconds) for other in least_speed if other in costs}
    assert all(found >= least_speed[other] / slack for other, found in speed.items()), f"shares of rows/s: {speed}"


def _table(costs: dict[str, list[Cost]]) -> dict[str, dict[str, float | str]]:
    return {
        way: {
            "rows/s": median(cost.rows / cost.seconds for cost in found),
            "CPU µs/row": median(cost.cpu / cost.rows * 1e6 for cost in found),
            "peak MiB": median(cost.peak for cost in found),
        }
        for way, found in costs.items()
    }
