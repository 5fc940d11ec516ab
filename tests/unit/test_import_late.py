"""ImportOperator where Milvus creates a job after the request for it was given up."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import pytest

from airflow_vectordb.operators.import_job import LATE_CREATION, ImportOperator
from airflow_vectordb.rest.errors import MilvusError
from tests.support.fake_milvus import FakeMilvus
from tests.support.harness import Clock, Logged, Operating, airflows
from tests.support.loading_milvus import Worker
from tests.support.scripted import Answer, Behaviour, CutOff, Request, Serve, error, ok

FILES = ["a.parquet", "b.parquet"]


@dataclass
class Importing(FakeMilvus):
    """
    Imports files; a job is completed as soon as it is created.

    :param late: seconds from the request for a job until it is created, and what is answered to the request, one by
        one; with none left: immediately, and its id
    :param jobs: id -> when it is created, and its state
    :param fails: ids of the jobs that fail
    """

    late: list[tuple[float, Behaviour]] = field(default_factory=list)
    jobs: dict[str, tuple[float, str]] = field(default_factory=dict)
    fails: set[str] = field(default_factory=set)

    def __call__(self, request: Request) -> Behaviour:
        if not request.path.startswith("jobs/import/"):
            return super().__call__(request)
        if request.path == "jobs/import/create":
            number = str(450 + len(self.jobs))
            delay, answer = self.late.pop(0) if self.late else (0.0, ok({"jobId": number}))
            self.jobs[number] = (time.time() + delay, "Failed" if number in self.fails else "Completed")
            return answer
        there = {number: state for number, (at, state) in self.jobs.items() if at <= time.time()}
        if request.path == "jobs/import/list":
            records = [{"collectionName": "docs", "jobId": one, "state": state} for one, state in there.items()]
            return ok({"records": records})
        job = request.body["jobId"]
        files = [{"fileName": file, "state": there[job], "importedRows": 5, "totalRows": 5} for file in FILES]
        told = {"jobId": job, "collectionName": "docs", "state": there[job], "progress": 100}
        return ok({**told, "importedRows": 10, "totalRows": 10, "details": files})


LOST: list[Behaviour] = [CutOff(b""), error(10001, "request timeout", 408), Answer("<html>", 504)]


@pytest.fixture(params=[False, True], ids=["in the worker", "deferred"])
def worker(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Worker:
    def make() -> ImportOperator:
        return ImportOperator(task_id="import", collection_name="docs", files=FILES, deferrable=request.param)

    return Worker(make, monkeypatch)


def connect(operating: Operating, serve: Serve, milvus: Importing) -> Any:
    server = serve(milvus)
    operating.connect(server, extra={"timeout": 30, "retries": 0})
    return server


@pytest.mark.parametrize("answer", LOST, ids=str)
@pytest.mark.parametrize("delay", [0.0, 5.0, 30.0 + LATE_CREATION - 1])
def test_a_job_that_appears_late_is_found(
    delay: float, answer: Behaviour, worker: Worker, operating: Operating, serve: Serve
) -> None:
    server = connect(operating, serve, Importing(late=[(delay, answer)]))
    with pytest.raises(MilvusError) as caught:
        worker.run()
    assert caught.value.transient
    assert worker.run() == {"collection_name": "docs", "job_id": "450", "rows": 10, "files": 2}
    assert server.paths.count("jobs/import/create") == 1


def test_a_job_whose_id_cannot_be_read_is_found(worker: Worker, operating: Operating, serve: Serve) -> None:
    server = connect(operating, serve, Importing(late=[(0.0, ok({"jobId": None}))]))
    with pytest.raises(MilvusError, match="jobId is None") as caught:
        worker.run()
    assert not caught.value.transient
    assert worker.run()["job_id"] == "450"
    assert server.paths.count("jobs/import/create") == 1


def test_a_retry_that_comes_late_enough_waits_for_nothing(
    worker: Worker, operating: Operating, serve: Serve, clock: Clock
) -> None:
    milvus = Importing(late=[(float("inf"), LOST[0])])
    connect(operating, serve, milvus)
    with pytest.raises(MilvusError):
        worker.run()
    clock.now += 30 + LATE_CREATION
    now = clock.now
    assert worker.run()["job_id"] == "451"
    assert clock.now == now


def test_nothing_is_started_before_a_job_can_no_longer_appear(
    worker: Worker, operating: Operating, serve: Serve, clock: Clock, logged: Logged
) -> None:
    milvus = Importing(late=[(float("inf"), LOST[0]), (float("inf"), LOST[0])])
    connect(operating, serve, milvus)
    for _ in range(2):
        with pytest.raises(MilvusError):
            worker.run()
    assert 30 + LATE_CREATION <= clock.elapsed < 130
    assert worker.run()["job_id"] == "452"
    assert 60 + 2 * LATE_CREATION <= clock.elapsed < 260  # the second request may also have come to something
    assert "may still appear" in logged.everything


@pytest.mark.parametrize("waiting", [True, False])
def test_one_that_appears_even_later_is_reported_with_its_twin(
    waiting: bool, operating: Operating, serve: Serve, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make() -> ImportOperator:
        given: dict[str, Any] = {"collection_name": "docs", "files": FILES, "wait_for_completion": waiting}
        return ImportOperator(task_id="import", deferrable=False, **given)

    worker = Worker(make, monkeypatch)
    milvus = Importing(late=[(200.0, LOST[0])])
    server = connect(operating, serve, milvus)
    with pytest.raises(MilvusError):
        worker.run()
    clock.now += 199
    list_jobs = milvus.__class__.__call__

    def appears(self: Importing, request: Request) -> Behaviour:
        answer = list_jobs(self, request)
        if request.path == "jobs/import/create":
            clock.now += 2  # meanwhile the first one is created, too
        return answer

    monkeypatch.setattr(Importing, "__call__", appears)
    with pytest.raises(MilvusError) as caught:
        worker.run()
    assert str(caught.value).startswith("import jobs 450 and 451 have the same files")
    assert "Their rows exist twice" in str(caught.value)
    assert airflows(caught.value).__name__ == "AirflowFailException"
    # When somebody has put that right, the task is cleared, and imports nothing.
    worker.clear()
    assert worker.run()["job_id"] == "451"
    assert server.paths.count("jobs/import/create") == 2


def test_a_twin_that_failed_is_none(worker: Worker, operating: Operating, serve: Serve, clock: Clock) -> None:
    milvus = Importing(late=[(0.0, LOST[0])])
    server = connect(operating, serve, milvus)
    with pytest.raises(MilvusError):
        worker.run()
    milvus.jobs["449"] = (clock.now, "Failed")  # of another task, and listed first
    assert worker.run()["job_id"] == "450"
    assert server.paths.count("jobs/import/create") == 1


def test_a_request_that_was_not_made_leaves_the_earlier_one_in_doubt(
    worker: Worker, operating: Operating, serve: Serve, clock: Clock
) -> None:
    milvus = Importing(late=[(200.0, LOST[0]), (float("inf"), error(1807, "retry later: rate limit exceeded[rate=1]"))])
    server = connect(operating, serve, milvus)
    with pytest.raises(MilvusError):
        worker.run()
    clock.now += 150
    with pytest.raises(MilvusError, match="rate limit"):
        worker.run()
    clock.now += 100
    assert worker.run()["job_id"] == "450"
    assert server.paths.count("jobs/import/create") == 2


def test_the_jobs_that_were_completed_before_one_failed_are_not_started_again(
    operating: Operating, serve: Serve, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_vectordb.operators.import_job.FILES_OF_A_JOB", 2)
    given: dict[str, Any] = {"collection_name": "docs", "files": [*FILES, "c.parquet"], "deferrable": False}
    worker = Worker(lambda: ImportOperator(task_id="import", **given), monkeypatch)
    milvus = Importing(fails={"451"})
    server = connect(operating, serve, milvus)
    with pytest.raises(MilvusError, match="The import failed"):
        worker.run()
    worker.clear()
    assert worker.run() == {"collection_name": "docs", "job_id": "452", "rows": 20, "files": 3}
    asked = [body["files"] for body in server.bodies("jobs/import/create")]
    assert asked == [[["a.parquet"], ["b.parquet"]], [["c.parquet"]], [["c.parquet"]]]
