"""Milvus's rows as an ingest sees them, and tries of an ingest until one is whole."""

from __future__ import annotations

import json
import random
import re
import threading
from collections.abc import Callable, Iterable
from typing import Any

from airflow_vectordb.ingest import run
from airflow_vectordb.ingest.bad_rows import BadRows
from airflow_vectordb.ingest.memory import source_of
from airflow_vectordb.ingest.options import Options
from airflow_vectordb.ingest.writer import Progress
from airflow_vectordb.rest.collections import Collection
from airflow_vectordb.rest.entities import Written
from airflow_vectordb.rest.errors import (
    BrokenAnswerError,
    ConnectError,
    LimitExceededError,
    MilvusError,
)
from airflow_vectordb.rest.http.json import encode
from tests.support.collections import AUTO_ID, VECTOR, described, field

AUTO = described(AUTO_ID, field("doc", "VarChar", max_length=16), VECTOR)


class Killed(BaseException):
    """A process that ends in the middle."""


class Milvus:
    """
    Rows as Milvus keeps them: an insert adds rows, whatever their keys; an upsert replaces those of the same key.

    :param failures: for each request, what goes wrong: ``before`` it has an effect, or ``after``; None: nothing
    """

    def __init__(self, failures: Iterable[str | None] = (), key: str = "id") -> None:
        self.rows: list[dict[str, Any]] = []
        self.requests: list[tuple[str, int]] = []
        self._failures = iter(failures)
        self._key = key
        self._lock = threading.Lock()

    def send(self, call: Any, *, retries: int | None = None) -> Any:
        with self._lock:
            body = json.loads(encode(call.body))
            verb = call.path.removeprefix("entities/")
            if verb == "query":
                name, values = re.fullmatch(r"(\w+) in (.*)", body["filter"]).groups()  # type: ignore[union-attr]
                return [{name: row[name]} for row in self.rows if row[name] in json.loads(values)]
            failure = next(self._failures, None)
            if failure == "refused":
                raise LimitExceededError("quota exceeded[reason=memory quota exceeded]", code=9)
            if failure == "before":
                raise ConnectError("Connection refused") if random.random() < 0.5 else BrokenAnswerError("it ended")
            rows = body["data"]
            self.requests.append((verb, len(rows)))
            if verb == "upsert":
                keys = {row[self._key] for row in rows}
                self.rows = [row for row in self.rows if row[self._key] not in keys]
            self.rows += rows
            if failure == "after":
                raise BrokenAnswerError("the connection ended before the answer did")
            return Written(len(rows), tuple(row.get(self._key) for row in rows))


def rows(count: int, **more: Any) -> list[dict[str, Any]]:
    return [{"id": i, "title": f"t{i}", "vector": [i, 0, 0, 0], **more} for i in range(count)]


def auto_rows(count: int) -> list[dict[str, Any]]:
    return [{"doc": f'd"{i}', "vector": [i, 0, 0, 0]} for i in range(count)]


def ingest(
    data: Any,
    collection: Collection,
    milvus: Milvus,
    *,
    bad_rows: BadRows | None = None,
    progress: Progress | None = None,
    save: Callable[[dict[str, Any]], None] = lambda progress: None,
    **options: Any,
) -> Progress:
    """Ingest rows, or sources; no request that was lost has a later effect."""
    sources = data if data and hasattr(data[0], "blocks") else [source_of(data)]
    given = Options(**{"timeout": 0.0, **options})
    return run.ingest(sources, collection, milvus.send, given, bad_rows or BadRows(), progress=progress, save=save)


def run_until_done(milvus: Milvus, collection: Collection, data: Any, **options: Any) -> Progress:
    """Try again, as Airflow does, from what the last try has kept."""
    kept: dict[str, Any] | None = None

    def save(progress: dict[str, Any]) -> None:
        nonlocal kept
        kept = json.loads(json.dumps(progress))

    for _ in range(500):
        progress = None if kept is None else Progress.from_json(kept)
        try:
            return ingest(data, collection, milvus, progress=progress, save=save, sleep=lambda _: None, **options)
        except MilvusError as error:
            if not error.transient:
                raise
    raise AssertionError("it never ends")
