"""Rows from, and parts to, an object storage that speaks S3, with what Airflow's users have for it (amazon, s3fs)."""

from __future__ import annotations

import gzip
import itertools
import json
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy
import pyarrow
import pytest
from pyarrow import parquet
from s3fs.core import S3File

from airflow_vectordb._compat import AirflowException, AirflowFailException
from airflow_vectordb.hooks.ingest import object_path, open_sources
from airflow_vectordb.hooks.milvus import MilvusHook
from airflow_vectordb.ingest.bad_rows import BadRows
from airflow_vectordb.ingest.memory import source_of
from airflow_vectordb.ingest.storage import open_to_write
from airflow_vectordb.local import LocalMilvus
from airflow_vectordb.operators import _stage
from airflow_vectordb.operators.import_job import ImportOperator
from airflow_vectordb.operators.ingest import IngestOperator
from airflow_vectordb.rest import collections, entities, import_jobs
from airflow_vectordb.rest.errors import MilvusError
from tests.support.loading_milvus import Worker
from tests.support.s3_server import BUCKET, KEY, SECRET, S3Server, s3_server

SCHEMA = {
    "fields": [
        {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
        {"fieldName": "text", "dataType": "VarChar", "elementTypeParams": {"max_length": 200}},
        {"fieldName": "vector", "dataType": "FloatVector", "elementTypeParams": {"dim": 4}},
    ]
}
FLAT = {"fieldName": "vector", "indexName": "vector", "metricType": "L2", "indexType": "FLAT", "params": {}}
Json = dict[str, Any]
_numbers = itertools.count()


@pytest.fixture(scope="module")
def server() -> Iterator[LocalMilvus]:
    with LocalMilvus() as running:
        yield running


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """The storage, and the connection ``minio`` to it: a new one for each test, with a new port."""
    from airflow.sdk.io import store

    with s3_server() as running:
        monkeypatch.setenv("AIRFLOW_CONN_MINIO", running.connection())
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setattr(store, "_STORE_CACHE", {})
        yield running


@pytest.fixture
def hook(server: LocalMilvus, monkeypatch: pytest.MonkeyPatch) -> Iterator[MilvusHook]:
    user, _, password = (server.token or "").partition(":")
    connection = {"conn_type": "milvus", "host": server.uri, "login": user, "password": password}
    monkeypatch.setenv("AIRFLOW_CONN_MILVUS_DEFAULT", json.dumps(connection))
    with MilvusHook() as opened:
        yield opened


@pytest.fixture
def name(hook: MilvusHook) -> str:
    made = f"c{next(_numbers)}"
    hook.send(collections.create(made, schema=SCHEMA, index_params=[FLAT]))
    return made


def rows(ids: range) -> list[Json]:
    return [{"id": i, "text": f"text {i}", "vector": [float(i), 1.0, 0.0, 0.0]} for i in ids]


def lines(ids: range) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows(ids)).encode()


def parquet_file(path: Path, table: pyarrow.Table, **options: Any) -> bytes:
    parquet.write_table(table, path, **options)
    return path.read_bytes()


def ids_in(hook: MilvusHook, name: str) -> list[int]:
    query = entities.query(name, filter="id >= 0", output_fields=["id"], limit=16384)
    return sorted(row["id"] for row in hook.send(query))


def read(hook: MilvusHook, name: str, source: str) -> int:
    """Read a file as an ingest does; return the number of its rows."""
    (opened,) = open_sources(source, "minio", hook.send(collections.describe(name)), allow_missing=False)
    return sum(len(block.rows) for block in opened.blocks())


def ingesting(name: str, monkeypatch: pytest.MonkeyPatch, **arguments: Any) -> Worker:
    given = {"collection_name": name, "source_conn_id": "minio", **arguments}
    return Worker(lambda: IngestOperator(task_id="ingest", **given), monkeypatch)


class TestIngest:
    def test_a_glob_of_all_formats(
        self, s3: S3Server, hook: MilvusHook, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        s3.put("docs/day=1/a.jsonl", lines(range(10)))
        s3.put("docs/day=1/b.jsonl.gz", gzip.compress(lines(range(10, 20))))
        s3.put("docs/day=2/c.parquet", parquet_file(tmp_path / "c", pyarrow.Table.from_pylist(rows(range(20, 30)))))
        s3.put("docs/day=2/d.csv", b"id,text,vector\n" + b"".join(b'%d,t,"[1,2,3,4]"\n' % i for i in range(30, 35)))
        s3.put("docs/day=2/", b"")  # as consoles make folders
        numpy.save(tmp_path / "e.npy", numpy.zeros((5, 4), "float32"))
        s3.put("docs/day=2/e.npy", (tmp_path / "e.npy").read_bytes())
        s3.put("docs/day=2/e.csv", b"id,text\n" + b"".join(b"%d,t\n" % i for i in range(35, 40)))
        s3.put("docs/other/x.jsonl", b"not to be read")
        given = [f"s3://{BUCKET}/docs/day=*/[abcd].*", f"s3://{BUCKET}/docs/day=2/e.npy"]
        result = ingesting(name, monkeypatch, source=given).run()
        assert result["rows"] == 40
        assert ids_in(hook, name) == list(range(40))

    def test_the_connection_may_stand_in_the_url(self, s3: S3Server, hook: MilvusHook, name: str) -> None:
        from airflow.sdk import ObjectStoragePath

        s3.put("in/a.jsonl", lines(range(3)))
        s3.put("in/b.jsonl", lines(range(3, 5)))
        assert hook.ingest(name, source=f"s3://minio@{BUCKET}/in/*.jsonl")["rows"] == 5
        path = ObjectStoragePath(f"s3://{BUCKET}/in/*.jsonl", conn_id="minio")
        assert hook.ingest(name, source=path)["rows"] == 5

    def test_a_schema_is_proposed_of_one(self, s3: S3Server, hook: MilvusHook, tmp_path: Path) -> None:
        source = s3.put("a.parquet", parquet_file(tmp_path / "a", pyarrow.Table.from_pylist(rows(range(3)))))
        schema = hook.schema_from(source, source_conn_id="minio")
        assert [field["fieldName"] for field in schema["fields"]] == ["id", "text", "vector"]

    def test_files_that_came_since_are_seen(self, s3: S3Server, hook: MilvusHook, name: str) -> None:
        source: Json = {"source": f"s3://{BUCKET}/in/*.jsonl", "source_conn_id": "minio"}
        s3.put("in/a.jsonl", lines(range(3)))
        assert hook.ingest(name, **source)["rows"] == 3
        s3.put("in/a.jsonl", lines(range(4)))
        s3.put("in/b.jsonl", lines(range(4, 6)))
        assert hook.ingest(name, **source)["rows"] == 6

    def test_no_more_than_a_few_mib_are_fetched_at_once(
        self, s3: S3Server, hook: MilvusHook, name: str, tmp_path: Path
    ) -> None:
        count = 40_000
        random = numpy.random.default_rng(0)
        vectors = pyarrow.FixedSizeListArray.from_arrays(random.random(4 * count, "float32"), 4)
        texts = [f"{i}{'x' * (i % 7)}" for i in range(count)]
        wide = [random.bytes(600) for _ in range(count)]
        table = pyarrow.table(
            {"id": range(count), "text": texts, "vector": vectors, "unused": wide, "more": wide[::-1]}
        )
        content = parquet_file(tmp_path / "big", table, row_group_size=count // 2, compression="none")
        small = table.select(["id", "text", "vector"])
        used = len(parquet_file(tmp_path / "used", small, row_group_size=count // 2, compression="none"))
        source = s3.put("big.parquet", content)
        assert (len(content), used) > (45_000_000, 1_000_000)
        s3.asked.clear()
        assert read(hook, name, source) == count
        fetched = [size for method, path, size in s3.asked if method == "GET" and "big.parquet" in path]
        assert max(fetched) < 9_000_000
        assert sum(fetched) < 1.5 * len(content)
        assert len(fetched) < 30

    def test_text_is_fetched_once_in_large_pieces(self, s3: S3Server, hook: MilvusHook, name: str) -> None:
        content = b"".join(
            b'{"id": %d, "text": "x", "vector": [1,2,3,%s4]}\n' % (i, b" " * 1000) for i in range(20_000)
        )
        source = s3.put("big.jsonl", content)
        s3.asked.clear()
        assert read(hook, name, source) == 20_000
        fetched = [size for method, path, size in s3.asked if method == "GET" and "big.jsonl" in path]
        assert sum(fetched) == len(content)
        assert len(fetched) == 3

    @pytest.mark.parametrize("changed", [False, True])
    def test_a_retry_goes_on_unless_the_file_is_another(
        self, s3: S3Server, hook: MilvusHook, name: str, changed: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("airflow_vectordb.ingest.writer.SAVE_INTERVAL", 0)
        source = s3.put("a.jsonl", lines(range(100)))
        worker = ingesting(name, monkeypatch, source=source, batch_rows=10, max_in_flight=1)
        with worker.killed_after(6):
            worker.run()
        before = s3.client.head_object(Bucket=BUCKET, Key="a.jsonl")
        content = lines(range(100))
        s3.put("a.jsonl", content.replace(b"text 1", b"TEXT 1") if changed else content)
        after = s3.client.head_object(Bucket=BUCKET, Key="a.jsonl")
        assert before["ContentLength"] == after["ContentLength"]
        requests: list[int] = []
        send = MilvusHook.ingest
        monkeypatch.setattr(
            MilvusHook, "ingest", lambda *a, **k: requests.append(k["progress"]["row"]) or send(*a, **k)
        )
        result = worker.run()
        assert requests[0] > 0
        query = entities.query(name, filter="text like 'TEXT%'", output_fields=["id"], limit=1000)
        assert len(hook.send(query)) == (11 if changed else 0)
        assert result["rows"] == 100
        assert ids_in(hook, name) == list(range(100))

    def test_bad_rows_are_listed_in_the_bucket(self, s3: S3Server, hook: MilvusHook, name: str) -> None:
        source = s3.put("a.jsonl", lines(range(3)) + b"no json\n" + lines(range(3, 5)))
        bad: Json = {"on_bad_row": "skip", "bad_rows_path": f"s3://{BUCKET}/bad.jsonl"}
        for _ in range(2):  # the second time in place of what the first one wrote
            assert hook.ingest(name, source=source, source_conn_id="minio", **bad)["skipped"] == 1
            written = s3.client.get_object(Bucket=BUCKET, Key="bad.jsonl")["Body"].read().decode()
            assert [json.loads(line)["row"] for line in written.splitlines()] == [4]


def failing(status: str, code: str, method: str = "", part: str = "") -> Callable[[str, str], tuple[str, str] | None]:
    return lambda asked, path: (status, code) if method in asked and part in path else None


class TestErrors:
    @pytest.fixture(autouse=True)
    def impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        monkeypatch.setattr("s3fs.S3FileSystem.retries", 1)

    def told(self, hook: MilvusHook, name: str, source: str, **arguments: Any) -> MilvusError:
        with pytest.raises(MilvusError) as caught:
            hook.ingest(name, source=source, **{"source_conn_id": "minio", **arguments})
        for secret in (KEY, SECRET):
            assert secret not in f"{caught.value!s}{caught.value!r}"
        permanent = isinstance(caught.value, AirflowFailException)
        assert permanent == (not caught.value.transient)
        return caught.value

    @pytest.mark.parametrize("code", ["AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"])
    @pytest.mark.parametrize("source", ["a.jsonl", "*.jsonl"])
    def test_rights_that_are_missing_are_permanent(
        self, s3: S3Server, hook: MilvusHook, name: str, code: str, source: str
    ) -> None:
        s3.put("a.jsonl", lines(range(3)))
        s3.fails = failing("403 Forbidden", code)
        error = self.told(hook, name, f"s3://{BUCKET}/{source}")
        assert isinstance(error, AirflowFailException)
        assert str(error).startswith(f"{source}: ")
        assert "Check path, connection, rights." in str(error)[:100]
        assert f"{BUCKET}/{source}" in str(error)

    @pytest.mark.parametrize(
        ("status", "code"),
        [("503 Slow Down", "SlowDown"), ("500 Error", "InternalError"), ("400 Bad Request", "ExpiredToken")],
    )
    @pytest.mark.parametrize("content", ["a.jsonl", "a.jsonl.gz", "a.csv", "a.parquet"])
    def test_a_storage_in_trouble_is_transient(
        self, s3: S3Server, hook: MilvusHook, name: str, status: str, code: str, content: str
    ) -> None:
        s3.put(content, gzip.compress(lines(range(3))))
        s3.fails = failing(status, code, "GET", content)
        error = self.told(hook, name, f"s3://{BUCKET}/{content}")
        assert isinstance(error, AirflowException)
        assert code in str(error)

    def test_a_storage_that_is_away_is_transient(self, s3: S3Server, hook: MilvusHook, name: str) -> None:
        source = s3.put("a.jsonl", lines(range(3)))
        s3.stop()
        assert "Could not connect" in str(self.told(hook, name, source))

    def test_a_bucket_that_is_not_there_is_permanent(self, s3: S3Server, hook: MilvusHook, name: str) -> None:
        for source in ("s3://no-such-bucket/a.jsonl", "s3://no-such-bucket/*.jsonl", f"s3://{BUCKET}/no.jsonl"):
            error = self.told(hook, name, source)
            assert isinstance(error, AirflowFailException)
            assert source in str(error)

    def test_a_file_that_is_broken_is_permanent(self, s3: S3Server, hook: MilvusHook, name: str) -> None:
        source = s3.put("a.jsonl.gz", gzip.compress(lines(range(1000)))[:-20])
        error = self.told(hook, name, source)
        assert isinstance(error, AirflowFailException)
        assert "cannot be read on" in str(error)

    @pytest.mark.parametrize(
        ("source", "package"),
        [("gs://bucket/a.jsonl", "apache-airflow-providers-google"), ("zz://bucket/*.jsonl", "Airflow's provider")],
    )
    def test_what_is_to_be_installed(
        self, s3: S3Server, hook: MilvusHook, name: str, source: str, package: str
    ) -> None:
        error = self.told(hook, name, source)
        assert isinstance(error, AirflowFailException)
        assert f"install {package}" in str(error)[:140]

    def test_s3_without_its_packages(
        self, s3: S3Server, hook: MilvusHook, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "s3fs", None)
        error = self.told(hook, name, f"s3://{BUCKET}/a.jsonl")
        assert "install apache-airflow-providers-amazon[s3fs]" in str(error)[:140]


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
            patch.setattr("airflow_vectordb.ingest.staging._Part.abandon", lambda part: None)  # SIGKILL lets nobody
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
