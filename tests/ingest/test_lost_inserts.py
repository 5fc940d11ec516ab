"""Inserts whose client is gone, and that take effect later: their rows are neither sent again nor kept when stale."""

from __future__ import annotations

import json
import math
import time
from contextlib import suppress
from typing import Any

import pytest

from airflow_vectordb.ingest.writer import Progress
from airflow_vectordb.rest import entities
from airflow_vectordb.rest.entities import Written
from airflow_vectordb.rest.errors import BrokenAnswerError
from airflow_vectordb.rest.http.json import encode
from tests.support.collections import DOCS
from tests.support.ingests import AUTO, Killed, Milvus, auto_rows, ingest, rows


class Late(Milvus):
    """The first insert takes effect so many seconds after its client is gone."""

    def __init__(self, delay: float, key: str = "doc") -> None:
        super().__init__(key=key)
        self.now = 0.0
        self._delay = delay
        self._late: tuple[float, list[Any]] | None = None

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def send(self, call: Any, *, retries: int | None = None) -> Any:
        if self._late is None:
            self._late = self.now + self._delay, json.loads(encode(call.body))["data"]
            raise BrokenAnswerError("the connection ended before the answer did")
        if self.now >= self._late[0]:
            self.rows, self._late = self.rows + self._late[1], (math.inf, [])
        return super().send(call, retries=retries)


@pytest.mark.parametrize(("delay", "waited"), [(0.5, 1), (29, 30)])
def test_rows_that_arrive_late_are_not_sent_again(delay: float, waited: float) -> None:
    milvus = Late(delay)
    options: dict[str, Any] = {"timeout": 30.0, "clock": lambda: milvus.now, "sleep": milvus.sleep}
    ingest(auto_rows(5), AUTO, milvus, key_field="doc", **options)
    assert (len(milvus.rows), milvus.requests) == (5, [])
    assert waited <= milvus.now < waited + 1


@pytest.mark.parametrize("in_earlier_try", [False, True])
def test_rows_that_arrive_late_are_deleted_with_the_other_stale_ones(in_earlier_try: bool) -> None:
    class Documents(Late):
        deleted_at: float | None = None

        def send(self, call: Any, *, retries: int | None = None) -> Any:
            if call.path.endswith("query"):
                return 5
            if call.path.endswith("delete"):
                self.deleted_at = self.now
            return Written(5, tuple(range(5))) if self._late else super().send(call)

    milvus, progress = Documents(29), None
    if in_earlier_try:
        with suppress(BrokenAnswerError):
            milvus.send(entities.insert("docs", auto_rows(5)))
        progress = Progress(reserved=20, fingerprints=("5 rows",))
    options: dict[str, Any] = {"timeout": 30.0, "clock": lambda: milvus.now, "sleep": milvus.sleep}
    ingest(auto_rows(5), AUTO, milvus, replace_documents="doc", progress=progress, **options)
    assert milvus.deleted_at == pytest.approx(30, abs=1)


def test_an_insert_is_not_overtaken_by_the_upsert_that_follows_it() -> None:
    milvus = Late(29, "id")
    ingest(rows(5), DOCS, milvus, mode="insert", timeout=30.0, clock=lambda: milvus.now, sleep=milvus.sleep)
    assert (len(milvus.rows), milvus.requests) == (5, [("upsert", 5)])


def test_a_retry_that_has_nothing_to_send_again_does_not_wait() -> None:
    milvus, sleeps = Milvus(), list[float]()
    killed_at_the_end = Progress(row=5, reserved=15, rows=5, fingerprints=("5 rows",))
    ingest(rows(5), DOCS, milvus, mode="insert", timeout=30.0, progress=killed_at_the_end, sleep=sleeps.append)
    assert (sleeps, milvus.requests) == ([], [])


@pytest.mark.parametrize(("stored", "waited"), [(None, 30), (0.0, 0), (10.0, 10)])
def test_a_retry_waits_for_what_the_try_before_has_lost(stored: float | None, waited: float) -> None:
    milvus = Late(waited - 1)
    with suppress(BrokenAnswerError):
        milvus.send(entities.insert("docs", auto_rows(5)))
    progress = Progress(reserved=5, fingerprints=("5 rows",), seconds_in_doubt=stored)
    options: dict[str, Any] = {"timeout": 30.0, "clock": lambda: milvus.now, "sleep": milvus.sleep}
    ingest(auto_rows(5), AUTO, milvus, key_field="doc", progress=progress, **options)
    assert (len(milvus.rows), milvus.requests) == (5, [])
    assert milvus.now == pytest.approx(waited, abs=1)


def test_a_retry_takes_the_progress_of_another_version() -> None:
    kept = {"reserved": 5, "fingerprints": ["5 rows"], "lost_until": 1.5}
    assert Progress.from_json(kept) == Progress(reserved=5, fingerprints=("5 rows",))


def test_a_retry_waits_for_what_the_try_before_it_lost_when_it_sent_rows_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class LateInsert(Late):
        def send(self, call: Any, *, retries: int | None = None) -> Any:
            return [] if self._late is None and call.path.endswith("query") else super().send(call)

    milvus, saved = LateInsert(29), list[dict[str, Any]]()
    options: dict[str, Any] = {"timeout": 30.0, "clock": lambda: milvus.now, "sleep": milvus.sleep, "key_field": "doc"}
    doubtful = Progress(reserved=5, fingerprints=("5 rows",), seconds_in_doubt=0.0)
    with pytest.raises(BrokenAnswerError):
        ingest(auto_rows(5), AUTO, milvus, progress=doubtful, save=saved.append, **options)
    ahead = time.time() + 3600
    monkeypatch.setattr(time, "time", lambda: ahead)  # the clock of the next worker
    ingest(auto_rows(5), AUTO, milvus, progress=Progress.from_json(saved[-1]), **options)
    assert (len(milvus.rows), milvus.requests) == (5, [])


def test_a_retry_waits_for_what_a_killed_try_may_have_lost_although_the_try_before_had_lost_nothing() -> None:
    class Killing(Late):
        def send(self, call: Any, *, retries: int | None = None) -> Any:
            if self._late is None and call.path.endswith("query"):
                return []
            try:
                return super().send(call)
            except BrokenAnswerError:
                at_the_kill.append(saved[-1])
                raise Killed from None

    milvus, saved, at_the_kill = Killing(29), list[dict[str, Any]](), list[dict[str, Any]]()
    options: dict[str, Any] = {"timeout": 30.0, "clock": lambda: milvus.now, "sleep": milvus.sleep, "key_field": "doc"}
    saved.append(Progress(reserved=5, fingerprints=("5 rows",), seconds_in_doubt=0.0).as_json())
    with pytest.raises(Killed):
        ingest(auto_rows(5), AUTO, milvus, progress=Progress.from_json(saved[-1]), save=saved.append, **options)
    ingest(auto_rows(5), AUTO, milvus, progress=Progress.from_json(at_the_kill[-1]), **options)
    assert (len(milvus.rows), milvus.requests) == (5, [])
