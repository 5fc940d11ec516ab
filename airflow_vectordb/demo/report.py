"""The demo's report: checks, and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any, cast

from airflow_vectordb.rest.indexes import IndexDescription

#: The tasks of the DAG ``digits_search``, in the order in which they must run.
TASKS = ("create_collection", "ingest", "create_index", "load_collection", "search")

DIGITS = 1797
#: Of the true ten nearest neighbours, the share that a search through the index must find.
MIN_RECALL = 0.95


@dataclass(frozen=True)
class Outcome:
    """Everything that is checked, when the run has succeeded.

    :param asked: the params that the run was triggered with.
    :param tasks: the task instances of the run, as Airflow's API describes them, in any order.
    :param reported: what ``create_index`` returned: a description per index.
    :param described: the same index as the server describes it afterwards.
    """

    asked: Mapping[str, Any]
    tasks: Sequence[Mapping[str, Any]]
    reported: Any
    described: Sequence[IndexDescription]
    search: Any

    def in_order(self) -> list[Mapping[str, Any]]:
        """Return the tasks in the order of their starts; those that never started come last."""
        return sorted(self.tasks, key=lambda task: (not task["start_date"], _time(task, "start_date")))

    def checks(self) -> dict[str, bool]:
        """Run all checks."""
        run = self.in_order()
        wanted = {name: str(self.asked[name]) for name in ("M", "efConstruction")}
        words = ", ".join(f"{name} {value}" for name, value in wanted.items())
        one = len(self.described) == 1
        index = self.described[0] if one else IndexDescription("", "", "", "", "")
        built = {name: str(index.params.get(name)) for name in wanted}
        kind = (index.index_type, index.metric_type)
        described = index.as_json()
        reported = [{k: v for k, v in each.items() if k in described} for each in self.reported or ()]
        found: Mapping[str, Any] = self.search or {}
        return {
            "every task succeeded": {task["state"] for task in run} == {"success"},
            "they ran in this order: " + ", ".join(TASKS): tuple(task["task_id"] for task in run) == TASKS,
            "each started when the one before it had ended": all(
                one["end_date"] and other["start_date"] and _time(one, "end_date") <= _time(other, "start_date")
                for one, other in pairwise(run)
            ),
            f"the server has the index that was asked for: HNSW, {self.asked['metric']}, {words}": (
                kind == ("HNSW", self.asked["metric"]) and built == wanted
            ),
            "it is finished and nothing is pending": index.state == "Finished" and index.pending_rows == 0,
            f"all {DIGITS:,} rows are in it": index.indexed_rows == index.total_rows == DIGITS,
            "create_index returned what the server says": one and reported == [described],
            f"recall@10 is at least {MIN_RECALL}": (
                MIN_RECALL <= found.get("recall_at_10", 0.0) <= 1.0 and found.get("queries") == DIGITS
            ),
        }

    def text(self) -> str:
        """Return the whole report."""
        run = self.in_order()
        tasks = [
            (
                task["task_id"],
                task["state"] or "not run",
                f"{_time(task, 'start_date') - _time(run[0], 'start_date'):.1f} s" if task["start_date"] else "",
                f"{task['duration']:.1f} s" if task["start_date"] else "",
            )
            for task in run
        ]
        indexes = [
            (
                index.index_name,
                index.index_type,
                index.metric_type,
                ", ".join(f"{name} {value}" for name, value in sorted(index.params.items())),
                index.state,
                f"{index.indexed_rows:,} of {index.total_rows:,}",
                f"{index.pending_rows}",
            )
            for index in self.described
        ]
        parts = [
            table(("Task", "State", "Started after", "Took"), tasks, right=(2, 3)),
            table(("Index", "Type", "Metric", "Parameters", "State", "Rows indexed", "Pending"), indexes, right=(5, 6)),
        ]
        if self.search:
            queries, same = self.search["queries"], self.search["same_label"]
            searches = [
                ("recall@10 against exact search", f"{self.search['recall_at_10']:.4f}"),
                ("nearest neighbour has the right label", f"{same:,} of {queries:,} ({same / queries:.1%})"),
            ]
            parts.append(table((f"Search, {queries:,} queries", "Found"), searches, right=(1,)))
        parts.append("\n".join(f"  {'ok    ' if holds else 'FAILED'}  {what}" for what, holds in self.checks().items()))
        return "\n\n".join(parts)


def _time(task: Mapping[str, Any], key: str) -> float:
    import pendulum

    return cast("datetime", pendulum.parse(task[key])).timestamp() if task[key] else 0.0


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int]) -> str:
    """Return text in columns, with a line under the header; the columns numbered in ``right`` are right-aligned."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = []
    for line in (head, ["-" * width for width in widths], *rows):
        cells = [
            cell.rjust(width) if number in right else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        lines.append(f"  {'  '.join(cells)}".rstrip())
    return "\n".join(lines)
