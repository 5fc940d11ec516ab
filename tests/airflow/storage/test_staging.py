"""Parts of an import that are written to S3, with what Airflow's users have for it (amazon, s3fs)."""

from __future__ import annotations

import gzip
import logging
from collections.abc import Callable
from typing import Any

import numpy
import pyarrow
import pytest
from pyarrow import parquet
from s3fs.core import S3File

from airflow_vectordb._compat import AirflowException, AirflowFailException
from airflow_vectordb.hooks.ingest import object_path
from airflow_vectordb.hooks.milvus import MilvusHook
from airflow_vectordb.ingest.bad_rows import BadRows
from airflow_vectordb.ingest.memory import source_of
from airflow_vectordb.ingest.storage import open_to_write
from airflow_vectordb.local import LocalMilvus
from airflow_vectordb.operators import _stage
from airflow_vectordb.operators.import_job import ImportOperator
from airflow_vectordb.rest import collections, import_jobs
from airflow_vectordb.rest.errors import MilvusError
from tests.support.collections import ids_in
from tests.support.loading_milvus import Worker
from tests.support.s3_server import BUCKET, KEY, SECRET, S3Server, failing, lines, rows

Json = dict[str, Any]


class TestStaging:
    @pytest.fixture
    def staging(
        self, s3: S3Server, server: LocalMilvus, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> Callable[..., Worker]:
        """Stage into the bucket; the local server, whose bucket is a folder, sees what is there."""
        create = ImportOperator._import

        def mirrored(task: Any, hook: Any, state: Any, kept: Any, groups: Any) -> Any:
            for (path,) in groups:
                copy = server.files / path
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(s3.client.get_object(Bucket=BUCKET, Key=path)["Body"].read())
            return create(task, hook, state, kept, groups)

        monkeypatch.setattr(ImportOperator, "_import", mirrored)

        def make(**arguments: Any) -> Worker:
            given: Json = {
                "collection_name": name,
                "stage_to": f"s3://{BUCKET}/staged/here",
                "stage_conn_id": "minio",
                "poll_interval": 0.1,
                **arguments,
            }
            return Worker(lambda: ImportOperator(task_id="import", **given), monkeypatch)

        return make

    def test_from_the_bucket_to_the_bucket(
        self, s3: S3Server, hook: MilvusHook, name: str, staging: Callable[..., Worker]
    ) -> None:
        source = [s3.put("in/a.jsonl", lines(range(500))), f"s3://{BUCKET}/in/b*.jsonl.gz"]
        s3.put("in/b.jsonl.gz", gzip.compress(lines(range(500, 1000))))
        result = staging(source=source, source_conn_id="minio", part_bytes=10_000).run()
        assert (result["rows"], result["skipped"]) == (1000, 0)
        assert ids_in(hook, name) == list(range(1000))
        assert (s3.keys("staged"), s3.uploads()) == ([], [])

    def test_parts_are_uploaded_piece_by_piece(self, s3: S3Server, hook: MilvusHook, name: str) -> None:
        random = numpy.random.default_rng(0)
        given = [{"id": i, "text": random.bytes(100).hex()[:200], "vector": [1, 2, 3, 4]} for i in range(60_000)]
        part = object_path(f"s3://{BUCKET}/part", "minio")
        described = hook.send(collections.describe(name))
        done = _stage.stage([source_of(given)], described, lambda _: open_to_write(part), BadRows())
        assert (done.batches, done.rows) == (1, 60_000)
        pieces = [path for method, path, _ in s3.asked if method == "PUT" and "partNumber" in path]
        assert len(pieces) == -(-done.size // (8 * 1024 * 1024)) > 1
        content = s3.client.get_object(Bucket=BUCKET, Key="part")["Body"].read()
        assert parquet.read_table(pyarrow.BufferReader(content))["id"].to_pylist() == list(range(60_000))

    @pytest.mark.parametrize("conn", ["", "minio@"])
    def test_the_server_gets_the_path_within_its_bucket(
        self, s3: S3Server, hook: MilvusHook, name: str, staging: Callable[..., Worker], conn: str
    ) -> None:
        stage_to: Json = {"stage_to": f"s3://{conn}{BUCKET}/x/", **({"stage_conn_id": None} if conn else {})}
        worker = staging(rows=rows(range(5)), keep_staged=True, **stage_to)
        assert worker.run()["rows"] == 5
        (job,) = hook.send(import_jobs.list_(name))
        described = hook.send(import_jobs.describe(job.job_id))
        assert described.files[0].has(s3.keys("x/"))

    def test_a_killed_try_leaves_nothing_that_a_retry_does_not_clean_up(
        self, s3: S3Server, hook: MilvusHook, name: str, staging: Callable[..., Worker], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Killed(BaseException):
            pass

        source = s3.put("in/a.jsonl", lines(range(1000)))
        kwdefaults = {**_stage.stage.__kwdefaults__, "row_group_bytes": 2000}
        monkeypatch.setattr(_stage.stage, "__kwdefaults__", kwdefaults)
        worker = staging(source=source, source_conn_id="minio", part_bytes=3000)
        with monkeypatch.context() as patch:
            patch.setattr("airflow_vectordb.ingest.staging._Part.__exit__", lambda *_: None)  # SIGKILL lets nobody
            written = [0]
            upload = S3File._upload_chunk

            def dying(file: Any, final: bool = False) -> Any:
                result = upload(file, final)
                written[0] += 1
                if written[0] == 3:
                    raise Killed
                return result

            patch.setattr(S3File, "_upload_chunk", dying)
            with pytest.raises(Killed):
                worker.run()
        assert len(s3.uploads()) == 1  # as S3 keeps it
        complete = s3.keys("staged")
        assert len(complete) == 2
        tags = {key: s3.client.head_object(Bucket=BUCKET, Key=key)["LastModified"] for key in complete}
        opened: list[str] = []
        monkeypatch.setattr(
            "airflow_vectordb.operators._stage.open_to_write",
            lambda path, open_=_stage.open_to_write: opened.append(path.name) or open_(path),
        )
        result = worker.run()
        assert opened[0] == "part-00002.parquet"
        assert tags.keys().isdisjoint(opened)
        assert result["rows"] == 1000
        assert ids_in(hook, name) == list(range(1000))
        assert (s3.keys("staged"), s3.uploads()) == ([], [])

    def test_a_failed_try_leaves_no_half_part(self, s3: S3Server, name: str, staging: Callable[..., Worker]) -> None:
        source = s3.put("in/a.jsonl", lines(range(100)) + b"no json\n")
        with pytest.raises(AirflowFailException, match="row 101"):
            staging(source=source, source_conn_id="minio").run()
        assert (s3.keys("staged"), s3.uploads()) == ([], [])

    def test_no_bucket_is_made(self, s3: S3Server, name: str, staging: Callable[..., Worker]) -> None:
        worker = staging(rows=rows(range(5)), stage_to="s3://no-such-bucket/x")
        with pytest.raises(AirflowFailException, match=r"bucket does not exist.*no-such-bucket/x"):
            worker.run()
        assert [bucket["Name"] for bucket in s3.client.list_buckets()["Buckets"]] == [BUCKET]

    @pytest.mark.parametrize(
        ("status", "code", "kind"),
        [("403 Forbidden", "AccessDenied", AirflowFailException), ("503 Slow", "SlowDown", AirflowException)],
    )
    def test_a_storage_that_refuses(
        self,
        s3: S3Server,
        name: str,
        staging: Callable[..., Worker],
        status: str,
        code: str,
        kind: type,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        monkeypatch.setattr("s3fs.S3FileSystem.retries", 1)
        s3.fails = failing(status, code)
        with caplog.at_level(logging.DEBUG, "airflow"), pytest.raises(MilvusError) as caught:
            staging(rows=rows(range(5))).run()
        assert isinstance(caught.value, kind)
        assert caught.value.transient == (kind is AirflowException)
        for secret in (KEY, SECRET):
            assert secret not in f"{caught.value!s}{caught.value!r}{caplog.text}"
