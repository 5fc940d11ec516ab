"""ImportOperator with ``stage_to``: rows become Parquet parts, which the importer of a real engine reads."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_vectordb.ingest import staging
from airflow_vectordb.ingest.storage import StorageError
from airflow_vectordb.local import LocalMilvus
from airflow_vectordb.operators import import_job
from airflow_vectordb.operators.import_job import ImportOperator
from airflow_vectordb.rest.errors import ImportFailedError, InvalidParametersError
from tests.support.import_jobs import rows_of
from tests.support.loading_milvus import Worker
from tests.support.local_api import SCHEMA, Api, Json, connection_to

Run = Callable[..., Worker]
SCALARS: dict[str, list[Any]] = {
    "Bool": [True, False],
    "Int8": [-128, 127],
    "Int16": [-(2**15), 2**15 - 1],
    "Int32": [-(2**31), 2**31 - 1],
    "Int64": [-(2**63), 2**63 - 1],
    "Float": [0.1, -3.5],
    "Double": [0.1, 1e300],
    "VarChar": ['größe, "1"\n', ""],
}


def field(name: str, kind: str, **more: Any) -> Json:
    return {"fieldName": name, "dataType": kind, **more}


def fields_of_each_kind() -> Iterator[Json]:
    text = {"elementTypeParams": {"max_length": 50}}
    for kind in SCALARS:
        yield field(kind.lower(), kind, **(text if kind == "VarChar" else {}))
        yield field(f"maybe_{kind.lower()}", kind, nullable=True, **(text if kind == "VarChar" else {}))
        params = {"max_capacity": 4, **({"max_length": 50} if kind == "VarChar" else {})}
        yield field(f"{kind.lower()}s", "Array", elementDataType=kind, elementTypeParams=params)
    yield field("document", "JSON")
    yield field("maybe_document", "JSON", nullable=True)
    yield field("with_default", "Int64", defaultValue=7)


def values_of_each_kind(number: int) -> Json:
    row: Json = {"document": [{"a": [1, None, "ä"]}, [1, 2]][number % 2]}
    for kind, values in SCALARS.items():
        row[kind.lower()] = values[number % 2]
        row[f"maybe_{kind.lower()}"] = None if number % 2 else values[0]
        row[f"{kind.lower()}s"] = values if number % 2 else []
    return {**row, "maybe_document": {"b": number} if number % 3 else None, "dynamic": {"c": [number]}}


#: Those that the engine has; of the others see ``tests/ingest/test_staging.py``.
VECTORS: dict[str, Callable[[int], Any]] = {
    "FloatVector": lambda i: [i + 0.1] + [0.5] * 15,
    "SparseFloatVector": lambda i: {"3": 0.5, str(100 + i): 1.5},
}


@pytest.fixture
def connection(server: LocalMilvus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_MILVUS_DEFAULT", connection_to(server.uri, server.token))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def staging_run(server: LocalMilvus, name: str, connection: None, monkeypatch: pytest.MonkeyPatch) -> Run:
    # This server creates a job before it answers: none appears later.
    monkeypatch.setattr(import_job, "LATE_CREATION", -3600.0)

    def make(**arguments: Any) -> Worker:
        given = {
            "collection_name": name,
            "stage_to": (server.files / "staged").as_uri(),
            "files_prefix": "staged",
            "deferrable": False,
            "poll_interval": 0.1,
            **arguments,
        }
        return Worker(lambda: ImportOperator(task_id="import", **given), monkeypatch)

    return make


def parts_of(server: LocalMilvus, name: str) -> list[Path]:
    return sorted((server.files / "staged").glob(f"{name}-*/*"))


def make(api: Api, name: str) -> None:
    indexes = [{"fieldName": "v", "metricType": "L2"}, {"fieldName": "s"}]
    api.ok("collections/create", collectionName=name, schema=SCHEMA, indexParams=indexes)


def rows(ids: range) -> list[Json]:
    return [{"id": i, "v": [i, 1, 0, 0], "s": {"1": 0.5}, "label": f"r{i}", "rank": i} for i in ids]


@pytest.mark.parametrize("vector", VECTORS)
def test_every_type_is_as_an_insert_gives_it(
    staging_run: Run, api: Api, name: str, vector: str, server: LocalMilvus
) -> None:
    dim = {} if vector == "SparseFloatVector" else {"elementTypeParams": {"dim": 16}}
    fields = [field("id", "Int64", isPrimary=True), field("v", vector, **dim), *fields_of_each_kind()]
    api.ok(
        "collections/create",
        collectionName=name,
        schema={"enableDynamicField": True, "fields": fields},
        indexParams=[{"fieldName": "v"}],
    )
    given = [{"id": i, "v": VECTORS[vector](i), **values_of_each_kind(i)} for i in range(12)]
    api.ok("entities/insert", collectionName=name, data=given)
    wanted = rows_of(api, name)
    assert len(wanted) == 12
    api.ok("collections/truncate", collectionName=name)

    result = staging_run(rows=given).run()

    assert (result["rows"], result["files"], result["skipped"]) == (12, 1, 0)
    assert rows_of(api, name) == wanted
    assert parts_of(server, name) == []


class TestParts:
    @pytest.fixture(autouse=True)
    def small(self, api: Api, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        make(api, name)
        monkeypatch.setattr(staging.stage, "__kwdefaults__", {**staging.stage.__kwdefaults__, "row_group_bytes": 2000})

    def source(self, folder: Path, *counts: int) -> str:
        folder.mkdir()
        first = 0
        for number, count in enumerate(counts):
            lines = [json.dumps(row) for row in rows(range(first, first + count))]
            (folder / f"{number}.jsonl").write_text("\n".join(lines))
            first += count
        return f"{folder}/*.jsonl"

    def test_there_are_several_of_about_that_size(
        self, staging_run: Run, api: Api, name: str, server: LocalMilvus, tmp_path: Path
    ) -> None:
        source = self.source(tmp_path / "in", 300, 1, 0, 299)
        result = staging_run(source=source, part_bytes=4000, keep_staged=True).run()
        parts = parts_of(server, name)
        assert (result["rows"], result["files"]) == (600, len(parts))
        assert len(parts) > 3
        assert all(4000 <= part.stat().st_size < 8000 for part in parts[:-1])
        assert sorted(row["id"] for row in rows_of(api, name)) == list(range(600))

    @pytest.mark.parametrize("seed", range(5))
    def test_a_retry_goes_on_after_the_last_part(
        self,
        staging_run: Run,
        api: Api,
        name: str,
        server: LocalMilvus,
        tmp_path: Path,
        seed: int,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        source = self.source(tmp_path / "in", 300, 1, 0, 299)
        worker = staging_run(source=source, part_bytes=4000, keep_staged=True)
        opened: list[int] = []
        chance = random.Random(seed)
        encode = staging._encode

        class KilledError(BaseException):
            pass

        def dying(row: Any, *others: Any) -> Any:
            opened.append(row["id"])
            if chance.random() < 0.004:
                raise KilledError
            return encode(row, *others)

        monkeypatch.setattr(staging, "_encode", dying)
        tries = 0
        while True:
            tries += 1
            try:
                result = worker.run()
                break
            except KilledError:
                continue
        assert result["rows"] == 600
        assert sorted(row["id"] for row in rows_of(api, name)) == list(range(600))
        assert len({part.parent for part in parts_of(server, name)}) == 1
        # No more is read again than what was in the part that was not finished.
        assert len(opened) <= 600 + (tries - 1) * 200

    @pytest.mark.parametrize("requests", [1, 2, 3, 4, 5])
    def test_kills_between_requests_start_no_second_job(
        self, staging_run: Run, api: Api, name: str, server: LocalMilvus, requests: int
    ) -> None:
        worker = staging_run(rows=rows(range(50)), part_bytes=4000)
        with worker.killed_after(requests):  # describe the collection, twice, list, create, describe the job
            worker.run()
        assert worker.run()["rows"] == 50
        assert len(api.ok("jobs/import/list", collectionName=name)["records"]) == 1
        assert len(rows_of(api, name)) == 50
        assert parts_of(server, name) == []

    def test_deferred(self, staging_run: Run, api: Api, name: str, server: LocalMilvus) -> None:
        worker = staging_run(rows=rows(range(50)), deferrable=True)
        worker.store = None  # what is staged is also known without it
        task = worker.make()
        worker.make = lambda: task
        assert worker.run()["rows"] == 50
        assert worker.deferrals in ([], ["ImportCompleted"])
        assert parts_of(server, name) == []

    def test_no_rows_are_no_job(self, staging_run: Run, api: Api, name: str, server: LocalMilvus) -> None:
        result = staging_run(rows=[]).run()
        assert (result["rows"], result["job_id"], result["files"]) == (0, None, 0)
        assert api.ok("jobs/import/list", collectionName=name)["records"] == []

    @pytest.mark.parametrize(("requests", "ids"), [(3, [900]), (4, list(range(100)))])
    def test_a_source_that_changed_is_staged_again_unless_its_import_has_begun(
        self, staging_run: Run, api: Api, name: str, tmp_path: Path, requests: int, ids: list[int]
    ) -> None:
        worker = staging_run(source=self.source(tmp_path / "in", 100), part_bytes=4000)
        with worker.killed_after(requests):  # describe the collection, twice, list, create
            worker.run()
        (tmp_path / "in/0.jsonl").write_text(json.dumps(rows(range(900, 901))[0]))
        assert worker.run()["rows"] == len(ids)
        assert sorted(row["id"] for row in rows_of(api, name)) == ids

    def test_a_failed_import_keeps_its_parts_for_the_next(
        self, staging_run: Run, api: Api, name: str, server: LocalMilvus
    ) -> None:
        worker = staging_run(rows=rows(range(50)), options={"timeout": "0s"})
        with pytest.raises(ImportFailedError, match="timeout"):
            worker.run()
        assert len(parts_of(server, name)) == 1
        worker.make = staging_run(rows=rows(range(50))).make
        assert worker.run()["rows"] == 50
        assert parts_of(server, name) == []


class TestFolder:
    def test_none_is_made_for_sources_that_do_not_exist(
        self, staging_run: Run, api: Api, name: str, tmp_path: Path
    ) -> None:
        make(api, name)
        with pytest.raises(InvalidParametersError, match=r"rows\.jsonl: does not exist"):
            staging_run(source=str(tmp_path / "rows.jsonl"), stage_to=str(tmp_path / "staged")).run()
        assert list(tmp_path.iterdir()) == []

    def test_one_that_cannot_be_made_is_named(self, staging_run: Run, api: Api, name: str, tmp_path: Path) -> None:
        make(api, name)
        (tmp_path / "staged").touch()
        with pytest.raises(StorageError, match="staged"):
            staging_run(rows=rows(range(3)), stage_to=str(tmp_path / "staged")).run()


class TestBadRows:
    def test_they_fail_the_task_before_any_import(self, staging_run: Run, api: Api, name: str) -> None:
        make(api, name)
        given = [*rows(range(3)), {**rows(range(1))[0], "v": [1.0]}]
        with pytest.raises(InvalidParametersError, match="row 4: v: 1 numbers instead of 4"):
            staging_run(rows=given).run()
        assert api.ok("jobs/import/list", collectionName=name)["records"] == []

    def test_they_are_skipped_and_listed(self, staging_run: Run, api: Api, name: str, tmp_path: Path) -> None:
        make(api, name)
        given = [*rows(range(3)), {**rows(range(1))[0], "v": [1.0]}, "no row", *rows(range(3, 5))]
        path = tmp_path / "bad.jsonl"
        result = staging_run(rows=given, on_bad_row="skip", bad_rows_path=str(path)).run()
        assert (result["rows"], result["skipped"]) == (5, 2)
        assert [json.loads(line)["row"] for line in path.read_text().splitlines()] == [4, 5]

    @pytest.mark.parametrize(
        ("arguments", "match"),
        [
            ({}, "pass one of"),
            ({"rows": [], "source": "a"}, "pass one of"),
            ({"rows": []}, "need stage_to"),
            ({"files": "a.json", "stage_to": "s3://b/x"}, "stage_to is for rows"),
            ({"files": "a.json", "allow_missing": True}, "allow_missing is for rows"),
            ({"rows": [], "stage_to": "s3://b/x", "max_bad_rows": 5}, 'require on_bad_row="skip"'),
            ({"rows": [], "stage_to": "s3://b/x", "part_bytes": 0}, "part_bytes"),
            ({"rows": [], "stage_to": "s3://b/x", "keep_staged": "no"}, "keep_staged"),
        ],
    )
    def test_arguments_are_checked_with_the_dag(self, arguments: Json, match: str) -> None:
        with pytest.raises(ValueError, match=match):
            ImportOperator(task_id="t", collection_name="docs", **arguments)


def test_the_server_sees_the_path_within_the_bucket() -> None:
    from airflow_vectordb.operators import _stage

    def paths(**arguments: Any) -> Any:
        task = ImportOperator(task_id="t", collection_name="docs", rows=[], **arguments)
        return _stage.paths_for_server(task, {"folder": "docs-1", "parts": 1})

    assert paths(stage_to="s3://bucket/a/b") == (("a/b/docs-1/part-00000.parquet",),)
    assert paths(stage_to="s3://bucket/a/b", files_prefix="/x/") == (("/x/docs-1/part-00000.parquet",),)
    assert paths(stage_to="s3://bucket/a", files_prefix="") == (("docs-1/part-00000.parquet",),)
    assert paths(stage_to="file:///data/a") == (("/data/a/docs-1/part-00000.parquet",),)
