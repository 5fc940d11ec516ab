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
class TaskRun:
    """A task as reported by Airflow; times may be None."""

    task_id: str
    state: str | None
    start: datetime | None
    end: datetime | None
    duration: float | None
    attempt: int

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> TaskRun:
        """Create one from an item of the API's task instances."""
        return cls(
            task_id=str(raw["task_id"]),
            state=raw.get("state"),
            start=_time(raw.get("start_date")),
            end=_time(raw.get("end_date")),
            duration=raw.get("duration"),
            attempt=int(raw.get("try_number") or 0),
        )


def _time(text: str | None) -> datetime | None:
    import pendulum

    return None if text is None else cast("datetime", pendulum.parse(text))


@dataclass(frozen=True)
class Outcome:
    """Everything that is checked.

    :param asked: the params that the run was triggered with.
    :param tasks: the tasks of the run, in any order.
    :param reported: what ``create_index`` returned: a description per index.
    :param described: the same index as the server describes it afterwards.
    """

    asked: Mapping[str, Any]
    run_state: str
    tasks: Sequence[TaskRun]
    reported: Any
    described: Sequence[IndexDescription]
    search: Any

    def in_order(self) -> list[TaskRun]:
        """Return the tasks in the order of their starts; those that never started come last."""
        return sorted(self.tasks, key=lambda task: (task.start is None, task.start.timestamp() if task.start else 0.0))

    def checks(self) -> dict[str, bool]:
        """Run all checks."""
        run = self.in_order()
        states = {task.state for task in run}
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
            "every task succeeded": self.run_state == "success" and states == {"success"},
            "they ran in this order: " + ", ".join(TASKS): tuple(task.task_id for task in run) == TASKS,
            "each started when the one before it had ended": all(
                bool(one.end and other.start and one.end <= other.start) for one, other in pairwise(run)
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
        parts = [self._tasks_text(), self._index_text(), self._search_text()]
        parts.append("\n".join(f"  {'ok    ' if holds else 'FAILED'}  {what}" for what, holds in self.checks().items()))
        return "\n\n".join(parts)

    def _tasks_text(self) -> str:
        run = self.in_order()
        first = next((task.start for task in run if task.start), None)
        rows = [
            (
                task.task_id,
                task.state or "not run",
                f"{(task.start - first).total_seconds():.1f} s" if task.start and first else "",
                f"{task.duration:.1f} s" if task.duration is not None else "",
            )
            for task in run
        ]
        return table(("Task", "State", "Started after", "Took"), rows, right=(2, 3))

    def _index_text(self) -> str:
        rows = [
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
        return table(("Index", "Type", "Metric", "Parameters", "State", "Rows indexed", "Pending"), rows, right=(5, 6))

    def _search_text(self) -> str:
        if self.search is None:
            return "No search was made."
        queries, same = self.search["queries"], self.search["same_label"]
        rows = [
            ("recall@10 against exact search", f"{self.search['recall_at_10']:.4f}"),
            ("nearest neighbour bears the right label", f"{same:,} of {queries:,} ({same / queries:.1%})"),
        ]
        return table((f"Search, {queries:,} queries", "Found"), rows, right=(1,))


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> str:
    """Return text in columns, with a line under the header; the columns numbered in ``right`` are right-aligned."""
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    lines.insert(1, ["-" * width for width in widths])

    def cell(line: list[str], column: int) -> str:
        return line[column].rjust(widths[column]) if column in right else line[column].ljust(widths[column])

    return "\n".join("  " + "  ".join(cell(line, column) for column in range(len(head))).rstrip() for line in lines)
