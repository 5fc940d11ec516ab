"""ImportOperator and ImportSensor over the import jobs of a real engine."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_vectordb.local import LocalMilvus
from airflow_vectordb.operators import import_job
from airflow_vectordb.operators.import_job import ImportOperator
from airflow_vectordb.rest import import_jobs
from airflow_vectordb.rest.errors import ImportFailedError
from airflow_vectordb.rest.http.call import Answer
from airflow_vectordb.sensors.milvus import ImportSensor
from airflow_vectordb.waiting import Done, ImportCompleted, Memory, Pending
from tests.support.harness import airflows
from tests.support.import_jobs import ended, rows_of
from tests.support.loading_milvus import Worker
from tests.support.local_api import SCHEMA, Api, Json, connection_to

INDEXES = [{"fieldName": "v", "metricType": "L2"}, {"fieldName": "s"}]
Run = Callable[..., Worker]


def write(folder: Path, name: str, ids: range) -> str:
    rows = [{"id": i, "v": [i, 1, 0, 0], "s": {"1": 0.5}, "label": f"r{i}", "rank": i} for i in ids]
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(rows))
    return name


def ids_of(api: Api, collection: str) -> list[int]:
    return sorted(row["id"] for row in rows_of(api, collection))


def jobs_of(api: Api, collection: str) -> list[Json]:
    found: list[Json] = api.ok("jobs/import/list", collectionName=collection)["records"]
    return found


@pytest.fixture
def docs(api: Api, name: str) -> str:
    api.ok("collections/create", collectionName=name, schema=SCHEMA, indexParams=INDEXES)
    return name


@pytest.fixture
def connection(server: LocalMilvus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_MILVUS_DEFAULT", connection_to(server.uri, server.token))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture(params=[False, True], ids=["in the worker", "deferred"])
def importing(request: pytest.FixtureRequest, docs: str, connection: None, monkeypatch: pytest.MonkeyPatch) -> Run:
    # This server creates a job before it answers: none appears later.
    monkeypatch.setattr(import_job, "LATE_CREATION", -3600.0)

    def make(**arguments: Any) -> Worker:
        given = {"collection_name": docs, "deferrable": request.param, "poll_interval": 0.1, **arguments}
        return Worker(lambda: ImportOperator(task_id="import", **given), monkeypatch)

    return make


class TestFiles:
    def test_all_rows_are_there_when_the_task_is_done(
        self, importing: Run, api: Api, server: LocalMilvus, docs: str
    ) -> None:
        files = [write(server.files, f"{docs}/a.json", range(7)), write(server.files, f"{docs}/b.json", range(7, 10))]
        result = importing(files=files).run()
        (job,) = jobs_of(api, docs)
        assert result == {"collection_name": docs, "job_id": job["jobId"], "rows": 10, "files": 2}
        assert json.loads(json.dumps(result)) == result
        assert ids_of(api, docs) == list(range(10))

    def test_one_file_and_a_group_of_files(self, importing: Run, server: LocalMilvus, docs: str) -> None:
        assert importing(files=write(server.files, f"{docs}/one.json", range(3))).run()["rows"] == 3
        group = [f"{docs}/id.npy", f"{docs}/v.npy"]
        with pytest.raises(ImportFailedError, match="no such file"):
            importing(files=[group]).run()

    def test_no_files_are_no_rows(self, importing: Run, api: Api, docs: str) -> None:
        worker = importing(files="{{ nothing }}")
        task = worker.make()
        task.files = []
        result = task.execute(worker.context())
        assert result == {"collection_name": docs, "job_id": None, "rows": 0, "files": 0}
        assert jobs_of(api, docs) == []

    def test_more_files_than_a_job_takes_are_several_jobs(
        self, importing: Run, api: Api, server: LocalMilvus, docs: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(import_job, "FILES_OF_A_JOB", 2)
        files = [write(server.files, f"{docs}/{number}.json", range(number, number + 1)) for number in range(5)]
        result = importing(files=files).run()
        assert (result["rows"], result["files"], len(jobs_of(api, docs))) == (5, 5, 3)
        assert ids_of(api, docs) == list(range(5))

    def test_without_waiting_a_sensor_waits(
        self, importing: Run, server: LocalMilvus, docs: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        result = importing(files=write(server.files, f"{docs}/a.json", range(4)), wait_for_completion=False).run()
        assert set(result) == {"collection_name", "job_id", "files"}
        for deferrable in (False, True):
            sensor = ImportSensor(task_id="s", job_id=result["job_id"], deferrable=deferrable, poke_interval=0.1)
            found = Worker(lambda sensor=sensor: sensor, monkeypatch).run()  # type: ignore[misc]
            assert found == {"collection_name": docs, "job_id": result["job_id"], "rows": 4, "files": 1}
        poking = ImportSensor(task_id="s", job_id=int(result["job_id"]), mode="reschedule", poke_interval=1)
        assert poking.execute({}) == found


class TestFailures:
    def test_the_servers_reason_is_given_and_nothing_is_retried(
        self, importing: Run, api: Api, server: LocalMilvus, docs: str
    ) -> None:
        file = write(server.files, f"{docs}/bad.json", range(3))
        (server.files / file).write_text('[{"id": 1}]')
        worker = importing(files=file)
        with pytest.raises(ImportFailedError) as caught:
            worker.run()
        assert "the field v has no value" in caught.value.message
        assert airflows(caught.value).__name__ == "AirflowFailException"
        # A task that is cleared after the file was corrected starts another job.
        write(server.files, file, range(3))
        assert worker.run()["rows"] == 3
        assert [job["state"] for job in jobs_of(api, docs)] == ["Failed", "Completed"]

    def test_a_refused_job_is_none(self, importing: Run, api: Api, server: LocalMilvus, docs: str) -> None:
        worker = importing(files=f"{docs}/rows.txt")
        with pytest.raises(ImportFailedError, match="unexpected file type"):
            worker.run()
        assert jobs_of(api, docs) == []

    def test_a_job_that_does_not_exist(self, connection: None) -> None:
        with pytest.raises(ImportFailedError, match="does not exist") as caught:
            ImportSensor(task_id="s", job_id="17").execute({})
        assert "count the rows" in str(caught.value)

    @pytest.mark.parametrize("files", [[], ["a.json", ""], [[]], 5, None, ["[1]"]])
    def test_what_can_never_be_right_is_refused_with_the_dag(self, files: Any) -> None:
        with pytest.raises(ValueError, match="files"):
            ImportOperator(task_id="t", collection_name="docs", files=files)


class TestKills:
    @pytest.mark.parametrize("requests", [1, 2, 3, 4])
    def test_no_job_is_started_twice(
        self, importing: Run, api: Api, server: LocalMilvus, docs: str, requests: int
    ) -> None:
        # describe, list, create, describe the job: the third is the one between the job and its id.
        worker = importing(files=[write(server.files, f"{docs}/a.json", range(5))])
        with worker.killed_after(requests):
            worker.run()
        result = worker.run()
        (job,) = jobs_of(api, docs)
        assert (result["job_id"], result["rows"]) == (job["jobId"], 5)
        assert ids_of(api, docs) == list(range(5))

    def test_a_job_that_ended_before_airflow_had_its_result_is_not_started_again(
        self, importing: Run, api: Api, server: LocalMilvus, docs: str
    ) -> None:
        worker = importing(files=[write(server.files, f"{docs}/a.json", range(5))])
        result = worker.run()
        assert worker.run() == result  # as after a kill
        assert len(jobs_of(api, docs)) == 1
        worker.clear()
        assert worker.run()["job_id"] != result["job_id"]

    def test_a_job_with_other_files_is_not_taken_for_ones_own(
        self, importing: Run, api: Api, server: LocalMilvus, docs: str
    ) -> None:
        mine = write(server.files, f"{docs}/mine.json", range(5))
        other = write(server.files, f"{docs}/mine.json.json", range(5, 8))
        worker = importing(files=[mine])
        with worker.killed_after(2):  # after the list, before the job
            worker.run()
        job = api.ok("jobs/import/create", collectionName=docs, files=[[other]])["jobId"]
        ended(api, job)
        result = worker.run()
        assert result["job_id"] != job
        assert ids_of(api, docs) == list(range(8))

    def test_a_job_with_the_same_files_from_before_is_not_taken_either(
        self, importing: Run, api: Api, server: LocalMilvus, docs: str
    ) -> None:
        file = write(server.files, f"{docs}/mine.json", range(5))
        before = importing(files=[file]).run()["job_id"]
        worker = importing(files=[file])
        with worker.killed_after(2):
            worker.run()
        assert worker.run()["job_id"] != before

    @pytest.mark.parametrize("requests", [3, 4])
    def test_what_another_collection_got_is_imported_again(
        self, importing: Run, api: Api, server: LocalMilvus, docs: str, requests: int
    ) -> None:
        """As when a DAG that makes its collection again is cleared."""
        worker = importing(files=[write(server.files, f"{docs}/a.json", range(5))])
        with worker.killed_after(requests):
            worker.run()
        for job in jobs_of(api, docs):
            ended(api, job["jobId"])
        api.ok("collections/drop", collectionName=docs)
        api.ok("collections/create", collectionName=docs, schema=SCHEMA, indexParams=INDEXES)
        assert worker.run()["rows"] == 5
        assert ids_of(api, docs) == list(range(5))

    def test_other_files_than_those_of_an_earlier_try_are_imported(
        self, importing: Run, api: Api, server: LocalMilvus, docs: str
    ) -> None:
        """The DAG is edited between two tries."""
        files = [write(server.files, f"{docs}/a.json", range(5))]
        worker = importing(files=files)
        with worker.killed_after(4):
            worker.run()
        files[:] = [write(server.files, f"{docs}/b.json", range(5, 8))]
        assert worker.run()["rows"] == 3
        ended(api, jobs_of(api, docs)[0]["jobId"])
        assert ids_of(api, docs) == list(range(8))


DETAILS = [
    {"fileName": 'id:1 paths:"a/1.parquet" ', "state": "Completed", "progress": 100, "importedRows": 9, "totalRows": 9},
    {"fileName": "[a/2.parquet]", "state": "Importing", "progress": 70, "importedRows": 30, "totalRows": 60},
    {"fileName": "x.npy,y.npy", "state": "Pending", "progress": 0},
]


def job_of(**data: Any) -> import_jobs.ImportJob:
    call = import_jobs.describe("7")
    call.body  # noqa: B018 - it is not sent
    return call.read(Answer({"jobId": "7", "collectionName": "docs", **data}, {}))


class TestConditions:
    def test_progress_is_by_file(self) -> None:
        poll = ImportCompleted("docs", "7").poll(Memory())
        next(poll).body  # noqa: B018
        with pytest.raises(StopIteration) as ended_with:
            poll.send(job_of(state="Importing", progress=40, details=DETAILS))
        assert str(ended_with.value.value) == (
            "import job 7: Importing, 40%; [a/2.parquet]: 30 of 60 rows (50%); x.npy,y.npy: Pending, 0%; "
            "files: 1 of 3 files (33%)"
        )

    def test_files_are_recognized_however_a_server_writes_them(self) -> None:
        job = job_of(state="ImportPending", details=DETAILS)
        assert job.state == "Pending"
        assert job.has_files([["a/1.parquet"], ["a/2.parquet"], ["x.npy", "y.npy"]])
        for others in ([["a/1.parquet"]], [["/1.parquet"], ["a/2.parquet"], ["x.npy", "y.npy"]]):
            assert not job.has_files(others)

    def test_a_new_job_is_waited_for_until_its_files_are_known(self) -> None:
        from airflow_vectordb.waiting import ImportFound

        def poll_with(job: import_jobs.ImportJob) -> Any:
            poll = ImportFound("docs", (("a.json",),), ("3",)).poll(Memory())
            next(poll).body  # noqa: B018
            poll.send([job_of(state="Completed"), import_jobs.ImportJob("3", "Completed")]).body  # noqa: B018
            with pytest.raises(StopIteration) as ended_with:
                poll.send(job)
            return ended_with.value.value

        assert isinstance(poll_with(job_of(state="Pending")), Pending)
        assert poll_with(job_of(state="Failed")) == Done({"job_id": None, "state": None})
        mine = job_of(state="Pending", details=[{"fileName": "a.json", "state": "Pending"}])
        assert poll_with(mine) == Done({"job_id": "7", "state": "Pending"})
