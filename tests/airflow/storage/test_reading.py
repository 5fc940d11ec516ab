"""Rows from files on S3, with what Airflow's users have for it (amazon, s3fs), and what a storage refuses."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

import numpy
import pyarrow
import pytest
from pyarrow import parquet

from airflow_vectordb._compat import AirflowException, AirflowFailException
from airflow_vectordb.hooks.ingest import open_input
from airflow_vectordb.hooks.milvus import MilvusHook
from airflow_vectordb.operators.ingest import IngestOperator
from airflow_vectordb.rest import collections, entities
from airflow_vectordb.rest.errors import MilvusError
from tests.support.collections import ids_in
from tests.support.loading_milvus import Worker
from tests.support.s3_server import BUCKET, KEY, SECRET, S3Server, failing, lines, rows

Json = dict[str, Any]


def parquet_file(path: Path, table: pyarrow.Table, **options: Any) -> bytes:
    parquet.write_table(table, path, **options)
    return path.read_bytes()


def read(hook: MilvusHook, name: str, source: str) -> int:
    """Read a file as an ingest does; return the number of its rows."""
    (opened,) = open_input(None, source, "minio", hook.send(collections.describe(name)), allow_missing=False)
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
        assert "cannot be read beyond" in str(error)

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
