"""Options and tables that the benchmarks share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping

import pytest

# A log line for each poll is made, and thrown away. Read when Airflow is first imported.
os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "CRITICAL"

Rows = Mapping[str, Mapping[str, float | str]]
_tables = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--busy", action="store_true", help="the machine does other things too: double the time allowed")
    parser.addoption("--ingest-rows", type=int, default=20_000, help="rows of 768 floats that are loaded")
    parser.addoption("--many-rows", type=int, default=1_000_000, help="rows for which memory must not grow")
    parser.addoption("--engine", action="store_true", help="load into a real Milvus, not into Milvus Lite")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_tables] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in config.stash[_tables]:
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def slack(pytestconfig: pytest.Config) -> float:
    """By what a limit in seconds is multiplied."""
    return 2.0 if pytestconfig.getoption("--busy") else 1.0


@pytest.fixture(scope="session")
def print_table(pytestconfig: pytest.Config) -> Callable[[str, Rows], None]:
    """Print a table below the results: a title, and for each row its values by column."""

    def add(title: str, rows: Rows) -> None:
        pytestconfig.stash[_tables] += ["", title, *_aligned(rows)]

    return add


def _aligned(rows: Rows) -> Iterator[str]:
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    cells = [
        ["", *columns],
        *([name, *(_format(row.get(column, "")) for column in columns)] for name, row in rows.items()),
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for name, *values in cells:
        yield "  ".join([name.ljust(widths[0]), *map(str.rjust, values, widths[1:])]).rstrip()


def _format(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if isinstance(value, int) or abs(value) >= 100 else f"{value:.3g}"
