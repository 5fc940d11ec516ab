"""The verdict: everything that must hold is judged, and each of it can fail."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from airflow_vectordb.demo.report import TASKS, Outcome, table
from airflow_vectordb.rest.indexes import IndexDescription

INDEX = IndexDescription(
    "vector_hnsw", "vector", "HNSW", "COSINE", "Finished", 1797, 1797, 0, params={"M": "24", "efConstruction": "180"}
)


def task(number: int, task_id: str, **changes: Any) -> dict[str, Any]:
    raw = {
        "task_id": task_id,
        "state": "success",
        "start_date": f"2026-01-01T00:00:{2 * number:02}.500000Z",
        "end_date": f"2026-01-01T00:00:{2 * number + 1:02}.250000Z",
        "duration": 0.75,
        "try_number": 1,
    }
    return {**raw, **changes}


def outcome(**changes: Any) -> Outcome:
    good = Outcome(
        asked={"collection": "digits", "metric": "COSINE", "M": 24, "efConstruction": 180},
        tasks=[task(number, task_id) for number, task_id in enumerate(TASKS)],
        reported=[{**INDEX.as_json(), "collection_name": "digits"}],
        described=[INDEX],
        search={"queries": 1797, "recall_at_10": 0.998, "same_label": 1777},
    )
    return replace(good, **changes)


def tasks(at: int, **changes: Any) -> list[dict[str, Any]]:
    return [task(number, task_id, **(changes if number == at else {})) for number, task_id in enumerate(TASKS)]


def failing(judged: Outcome) -> list[str]:
    return [what for what, holds in judged.checks().items() if not holds]


def test_all_holds() -> None:
    assert failing(outcome()) == []
    assert failing(outcome(tasks=outcome().tasks[::-1])) == []  # Airflow lists them in any order


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"tasks": tasks(1, state="failed")}, "every task succeeded"),
        ({"tasks": tasks(4, state=None, start_date=None, end_date=None, duration=None)}, "every task succeeded"),
        ({"tasks": outcome().tasks[:-1]}, "they ran in this order"),
        ({"tasks": [*outcome().tasks[:-1], task(9, "another")]}, "they ran in this order"),
        ({"tasks": tasks(4, start_date="2026-01-01T00:00:00Z")}, "they ran in this order"),
        ({"tasks": tasks(1, end_date="2026-01-01T00:00:04.600000Z")}, "each started when the one before it had ended"),
        ({"tasks": tasks(2, end_date="2026-01-01T00:00:09Z")}, "each started when the one before it had ended"),
        ({"tasks": tasks(2, end_date=None)}, "each started when the one before it had ended"),
        ({"described": []}, "the server has the index that was asked for"),
        ({"described": [replace(INDEX, index_type="AUTOINDEX")]}, "the server has the index that was asked for"),
        ({"described": [replace(INDEX, metric_type="L2")]}, "the server has the index that was asked for"),
        ({"described": [replace(INDEX, params={})]}, "the server has the index that was asked for"),
        (
            {"described": [replace(INDEX, params={"M": "16", "efConstruction": "180"})]},
            "the server has the index that was asked for",
        ),
        ({"described": [replace(INDEX, state="InProgress")]}, "it is finished and nothing is pending"),
        ({"described": [replace(INDEX, pending_rows=1)]}, "it is finished and nothing is pending"),
        ({"described": [replace(INDEX, indexed_rows=1796)]}, "all 1,797 rows are in it"),
        ({"described": [replace(INDEX, indexed_rows=0, total_rows=0)]}, "all 1,797 rows are in it"),
        ({"reported": None}, "create_index returned what the server says"),
        ({"reported": [{**INDEX.as_json(), "state": "InProgress"}]}, "create_index returned what the server says"),
        ({"search": None}, "recall@10 is at least 0.95"),
        ({"search": {"queries": 1797, "recall_at_10": 0.94, "same_label": 1}}, "recall@10 is at least 0.95"),
        ({"search": {"queries": 1797, "recall_at_10": 1.1, "same_label": 1}}, "recall@10 is at least 0.95"),
        ({"search": {"queries": 10, "recall_at_10": 1.0, "same_label": 1}}, "recall@10 is at least 0.95"),
    ],
)
def test_each_can_fail(changes: dict[str, Any], expected: str) -> None:
    judged = outcome(**changes)
    assert any(what.startswith(expected) for what in failing(judged))
    assert "FAILED  " + expected in judged.text()


def test_text() -> None:
    text = outcome().text()
    rows = [line.split() for line in text.splitlines() if "success" in line]
    assert rows == [[task_id, "success", f"{2 * number:.1f}", "s", "0.8", "s"] for number, task_id in enumerate(TASKS)]
    assert "HNSW  COSINE  M 24, efConstruction 180  Finished  1,797 of 1,797        0" in text
    assert "0.9980" in text
    assert "1,777 of 1,797 (98.9%)" in text
    assert "FAILED" not in text
    assert max(map(len, text.splitlines())) <= 100


def test_table() -> None:
    assert table(("a", "number"), [("long", "1"), ("b", "22")], right=(1,)) == (
        "  a     number\n  ----  ------\n  long       1\n  b         22"
    )
