"""What the hook and the operators do about rows and files, over a real server."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pyarrow
import pytest
from pyarrow import feather, parquet

from airflow_vectordb._compat import AirflowFailException, connection_of_path
from airflow_vectordb.hooks.milvus import MilvusHook
from airflow_vectordb.ingest import run
from airflow_vectordb.rest import collections, entities
from airflow_vectordb.rest.errors import InvalidParametersError, MilvusError
from tests.support.documents import DOC, FLAT, ID, VECTOR, field, make, rows, there


class TestDocuments:
    @pytest.mark.parametrize("auto_id", [False, True])
    def test_each_has_the_rows_that_came_last(self, hook: MilvusHook, auto_id: bool) -> None:
        make(hook, auto_id=auto_id)
        first = rows(('a"', 5), ("b", 1), ("c", 2), ("kept", 1), auto_id=auto_id)
        hook.ingest("docs", first, replace_documents="doc")
        second = rows(("b", 3), ('a"', 2), version=1, auto_id=auto_id)
        result = hook.ingest("docs", second, replace_documents="doc", documents=["c", "b"])
        assert result["rows"] == 5
        assert there(hook) == {'a"': [[1, 0], [1, 1]], "b": [[1, 0], [1, 1], [1, 2]], "kept": [[0, 0]]}

    @pytest.mark.parametrize("auto_id", [False, True])
    @pytest.mark.parametrize("dies_after", [1, 2, 3])
    def test_a_retry_knows_the_rows_of_the_try_before(
        self, hook: MilvusHook, auto_id: bool, dies_after: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make(hook, auto_id=auto_id)
        hook.ingest("docs", rows(("a", 6), ("b", 6), auto_id=auto_id), replace_documents="doc")
        monkeypatch.setattr("airflow_vectordb.ingest.writer.SAVE_INTERVAL", 0)
        kept: list[dict[str, Any]] = []

        def save(progress: dict[str, Any]) -> None:
            if len(kept) == dies_after:
                raise KeyboardInterrupt
            kept.append(progress)

        given: dict[str, Any] = {"replace_documents": "doc", "batch_rows": 2, "max_in_flight": 1}
        new = rows(("a", 3), ("b", 2), version=1, auto_id=auto_id)
        with pytest.raises(KeyboardInterrupt):
            hook.ingest("docs", new, save=save, **given)
        assert set(there(hook)) == {"a", "b"}
        killed_long_ago = {**json.loads(json.dumps(kept[-1])), "seconds_in_doubt": 0.0}
        hook.ingest("docs", new, progress=killed_long_ago, **given)
        assert there(hook) == {"a": [[1, 0], [1, 1], [1, 2]], "b": [[1, 0], [1, 1]]}

    @pytest.mark.parametrize("auto_id", [False, True])
    def test_an_alias_that_is_moved_meanwhile(self, hook: MilvusHook, auto_id: bool) -> None:
        """Rows and deletions go to the collection that it led to: the other one loses nothing."""
        for name in ("other", "docs"):
            make(hook, auto_id=auto_id, name=name)
            hook.ingest(name, rows(("a", 3), ("b", 1), auto_id=auto_id))
        hook.create_alias("docs", "live")

        def new() -> Iterator[dict[str, Any]]:
            yield from rows(("a", 1), version=1, auto_id=auto_id)
            hook.alter_alias("other", "live")
            yield from rows(("c", 2), version=1, auto_id=auto_id)

        result = hook.ingest("live", new, replace_documents="doc", documents=["b"], batch_rows=1, max_in_flight=1)
        assert (result["collection_name"], result["rows"]) == ("live", 3)
        assert there(hook) == {"a": [[1, 0]], "c": [[1, 0], [1, 1]]}
        assert there(hook, "other") == {"a": [[0, 0], [0, 1], [0, 2]], "b": [[0, 0]]}

    @pytest.mark.parametrize("auto_id", [False, True])
    @pytest.mark.parametrize("mode", [None, "insert"])
    def test_two_at_once_do_not_leave_a_document_without_rows(
        self, hook: MilvusHook, auto_id: bool, mode: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """To each of them the rows of the other one are stale."""
        make(hook, auto_id=auto_id)
        given: dict[str, Any] = {"replace_documents": "doc", "mode": mode}
        kept: list[dict[str, Any]] = []
        delete_stale = run._delete_stale

        def deleting(*arguments: Any) -> None:
            monkeypatch.setattr(run, "_delete_stale", delete_stale)
            others = rows(("a", 2), version=1, auto_id=auto_id)
            hook.ingest("docs", others if auto_id else [{**row, "id": row["id"] + 1} for row in others], **given)
            delete_stale(*arguments)

        monkeypatch.setattr(run, "_delete_stale", deleting)
        mine = rows(("a", 3), auto_id=auto_id)
        with pytest.raises(
            MilvusError, match=r"^Another task replaces the same documents, .*\. A retry writes"
        ) as caught:
            hook.ingest("docs", mine, save=kept.append, **given)
        assert not isinstance(caught.value, AirflowFailException)
        assert hook.ingest("docs", mine, progress=json.loads(json.dumps(kept[-1])), **given)["rows"] == 3
        assert there(hook) == {"a": [[0, 0], [0, 1], [0, 2]]}

    def test_a_key_that_goes_from_document_to_document_is_one_row(self, hook: MilvusHook) -> None:
        make(hook)
        places = ((1, "a"), (2, "a"), (3, "b"), (1, "b"))
        data = [{"id": key, "doc": name, "vector": [0, key]} for key, name in places]
        hook.ingest("docs", data, replace_documents="doc", batch_rows=2)
        assert there(hook) == {"a": [[0, 2]], "b": [[0, 1], [0, 3]]}

    def test_many_keys_are_divided_among_requests(self, hook: MilvusHook, monkeypatch: pytest.MonkeyPatch) -> None:
        make(hook)
        monkeypatch.setattr("airflow_vectordb.ingest.documents.KEYS_AT_ONCE", 3)
        hook.ingest("docs", rows(("a", 20), ("b", 20), ("c", 2)), replace_documents="doc")
        hook.ingest("docs", rows(("a", 10), ("b", 1), ("c", 2), version=1), replace_documents="doc")
        assert {name: len(vectors) for name, vectors in there(hook).items()} == {"a": 10, "b": 1, "c": 2}

    def test_a_collection_that_is_not_loaded_is_refused(self, hook: MilvusHook) -> None:
        hook.send(collections.create("docs", schema={"fields": [ID, DOC, VECTOR]}))
        with pytest.raises(InvalidParametersError, match="load it first"):
            hook.ingest("docs", rows(("a", 1)), replace_documents="doc")

    def test_a_row_without_a_document_is_a_bad_row(self, hook: MilvusHook) -> None:
        make(hook)
        with pytest.raises(InvalidParametersError, match="the collection has no such VarChar or integer field"):
            hook.ingest("docs", rows(("a", 1)), replace_documents="document")


BAD = {
    "type": ('{"id": "x", "doc": "a", "vector": [1, 2]}', "id", "'x' (str) is not an Int64"),
    "dimension": ('{"id": 7, "doc": "a", "vector": [1, 2, 3]}', "vector", "3 numbers instead of 2"),
    "missing": ('{"id": 7, "vector": [1, 2]}', "doc", "missing"),
    "null": ('{"id": 7, "doc": null, "vector": [1, 2]}', "doc", "null, but the field is not nullable"),
    "surplus": (
        '{"id": 7, "doc": "a", "vector": [1, 2], "x": 1}',
        "x",
        "the collection has neither this field nor dynamic fields",
    ),
    "length": (f'{{"id": 7, "doc": "{21 * "a"}", "vector": [1, 2]}}', "doc", "21 bytes, but max_length is 20"),
    "number": ('{"id": 7, "doc": "a", "vector": [1, 1e400]}', None, "is not JSON"),
    "no JSON": ('{"id": 7, "doc": "a"', None, "is not JSON"),
    "no object": ("7", None, "is JSON, but not an object"),
}


class TestBadRows:
    @pytest.mark.parametrize("kind", BAD)
    @pytest.mark.parametrize("place", ["start", "middle", "end"])
    def test_it_is_skipped_and_named(
        self, kind: str, place: str, hook: MilvusHook, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        make(hook)
        line, field_name, reason = BAD[kind]
        lines = [json.dumps(row) for row in rows(("a", 4))]
        at = {"start": 0, "middle": 2, "end": 4}[place]
        lines.insert(at, line)
        file, bad = tmp_path / "rows.jsonl", tmp_path / "bad.jsonl"
        file.write_text("".join(line + "\n" for line in lines))

        with pytest.raises(InvalidParametersError, match=rf"rows\.jsonl, row {at + 1}: "):
            hook.ingest("docs", source=str(file))
        result = hook.ingest("docs", source=str(file), on_bad_row="skip", bad_rows_path=str(bad))

        assert (result["rows"], result["skipped"]) == (4, 1)
        (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        assert warning.startswith("docs: 1 row skipped, all are in ")
        assert warning.partition("bad.jsonl; the first of this try: ")[2].startswith(f"rows.jsonl, row {at + 1}: ")
        assert reason in warning
        (entry,) = map(json.loads, bad.read_text().splitlines())
        assert (entry["source"], entry["row"], entry["field"]) == ("rows.jsonl", at + 1, field_name)
        assert entry["reason"].startswith(reason)

    def test_no_more_than_are_allowed(self, hook: MilvusHook, caplog: pytest.LogCaptureFixture) -> None:
        make(hook)
        data = [*rows(("a", 3)), {}, {}, {}]
        assert hook.ingest("docs", data, on_bad_row="skip", max_bad_rows=3)["skipped"] == 3
        assert "docs: 3 rows skipped, bad_rows_path= writes all to a file; the first of this try: rows" in caplog.text
        with pytest.raises(
            AirflowFailException, match=r"3 rows cannot be sent, but max_bad_rows is 2; the last: rows, row 6"
        ):
            hook.ingest("docs", data, on_bad_row="skip", max_bad_rows=2)

    def test_a_retry_reports_each_once(self, hook: MilvusHook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        make(hook)
        monkeypatch.setattr("airflow_vectordb.ingest.writer.SAVE_INTERVAL", 0)
        data = [one for row in rows(("a", 8)) for one in (row, {})]
        kept: list[dict[str, Any]] = []

        def save(progress: dict[str, Any]) -> None:
            if len(kept) == 2:
                raise KeyboardInterrupt
            kept.append(progress)

        bad = tmp_path / "bad.jsonl"
        bad.write_text('{"number": 0, "source": "of another run", "row": 1}\n')
        given: dict[str, Any] = {"on_bad_row": "skip", "bad_rows_path": str(bad), "batch_rows": 2, "max_in_flight": 1}
        with pytest.raises(KeyboardInterrupt):
            hook.ingest("docs", data, save=save, **given)
        with bad.open("a") as file:
            file.write('{"number": 0, "row"')  # cut short by a kill
        assert hook.ingest("docs", data, progress=kept[-1], **given)["skipped"] == 8
        numbers = [json.loads(line)["row"] for line in bad.read_text().splitlines()]
        assert sorted(set(numbers)) == list(range(2, 17, 2))
        assert len(numbers) == 8 * 2 + 8  # id, doc and vector are missing in each


class TestSources:
    def test_a_directory_is_refused_with_the_glob_that_was_meant(self, hook: MilvusHook, tmp_path: Path) -> None:
        make(hook)
        with pytest.raises(InvalidParametersError, match=r"is a directory; name its files, for example .*/\*\.parquet"):
            hook.ingest("docs", source=tmp_path)

    @pytest.mark.parametrize(
        ("given", "advice"),
        [
            (lambda: None, "Arrow data, not None; [] means no rows"),
            ("part.parquet", "not a str ('part.parquet'); for files, pass source"),
            ("[{'id': 1}]", ", a list or mapping rendered to text: pass a task's output itself"),
            ("None", "not a str ('None'): did its template render to nothing?"),
        ],
    )
    def test_what_is_not_rows_is_refused(self, hook: MilvusHook, given: Any, advice: str) -> None:
        make(hook)
        with pytest.raises(InvalidParametersError, match=re.escape(advice)):
            hook.ingest("docs", given)

    @pytest.mark.parametrize(
        ("mapping", "problem"),
        [
            ({"a": 5}, "field_mapping['a'] must be the name of a field, or None, not 5"),
            ({5: "a"}, "field_mapping has 5 in place of a column's name"),
            ("a", "field_mapping must be a mapping, not 'a'"),
        ],
    )
    def test_what_maps_no_names_is_refused(self, hook: MilvusHook, mapping: Any, problem: str) -> None:
        with pytest.raises(InvalidParametersError) as caught:
            hook.ingest("docs", [{"a": 1}], field_mapping=mapping)
        assert list(caught.value.problems) == [problem]

    def test_files_that_do_not_exist(self, hook: MilvusHook, tmp_path: Path) -> None:
        make(hook)
        source = [str(tmp_path / "*.jsonl"), str(tmp_path / "part.csv")]
        with pytest.raises(InvalidParametersError) as caught:
            hook.ingest("docs", source=source)
        assert [problem.removeprefix(str(tmp_path)) for problem in caught.value.problems] == [
            "/*.jsonl: matches no file; set allow_missing=True if that is fine",
            "/part.csv: does not exist; set allow_missing=True if that is fine",
        ]
        assert hook.ingest("docs", source=source, allow_missing=True)["rows"] == 0
        with pytest.raises(InvalidParametersError, match="0 rows, but min_rows is 1"):
            hook.ingest("docs", source=source, allow_missing=True, min_rows=1)

    def test_what_a_glob_matches(self, hook: MilvusHook, tmp_path: Path) -> None:
        """Files and links to files; folders, and links to them, are passed over."""
        make(hook)
        there_too = tmp_path / "there"
        night = tmp_path / "night"
        for folder in (there_too, night, night / "folder"):
            folder.mkdir()
        for place, row in zip((night / "a.jsonl", there_too / "b.jsonl"), rows(("a", 2)), strict=True):
            place.write_text(json.dumps(row))
        (night / "b.jsonl").symlink_to(there_too / "b.jsonl")
        (night / "latest").symlink_to(there_too)
        assert hook.ingest("docs", source=str(night / "*"))["rows"] == 2

    @pytest.mark.parametrize(
        ("url", "given", "conn_id"),
        [
            ("s3://minio@bucket/docs", {}, "minio"),
            ("s3://bucket/docs", {"conn_id": "aws"}, "aws"),
            ("file:///d", {}, None),
        ],
    )
    def test_the_connection_of_a_path(self, url: str, given: dict[str, str], conn_id: str | None) -> None:
        from airflow.sdk import ObjectStoragePath

        assert connection_of_path(ObjectStoragePath(url, **given)) == conn_id

    def test_an_object_store(self, hook: MilvusHook) -> None:
        import fsspec
        from airflow.sdk import ObjectStoragePath
        from airflow.sdk.io import attach

        attach("memory", fs=fsspec.filesystem("memory"))
        make(hook)
        folder = ObjectStoragePath("memory://bucket/night")
        folder.mkdir(parents=True, exist_ok=True)
        for number, row in enumerate(rows(("a", 3))):
            (folder / f"part-{number}.jsonl").write_text(json.dumps(row))
        assert hook.ingest("docs", source="memory://bucket/night/*.jsonl")["rows"] == 3
        assert hook.ingest("docs", source=folder / "part-1.jsonl")["rows"] == 1
        assert there(hook) == {"a": [[0, 0], [0, 1], [0, 2]]}

    def test_an_embedding_tasks_chunks(self, hook: MilvusHook) -> None:
        make(hook)
        chunks = [{"text": f"t{i}", "metadata": {"source": {"doc": "a"}, "n": i}, "vector": [0, i]} for i in range(3)]
        mapping = {"metadata.source.doc": "doc", "metadata.n": "id", "metadata": None, "text": None}
        hook.ingest("docs", {"chunks": chunks}, field_mapping=mapping)
        hook.ingest("docs", [{"chunks": chunks[:1]}, {"chunks": chunks[1:]}], field_mapping=mapping)
        assert there(hook) == {"a": [[0, 0], [0, 1], [0, 2]]}


TYPES = [
    ID,
    *(field(kind, kind) for kind in ("Bool", "Int8", "Int16", "Int32", "Float", "Double", "JSON")),
    DOC,
    field("Array", "Array", elementDataType="Int64", elementTypeParams={"max_capacity": 8}),
    VECTOR,
    field("SparseFloatVector", "SparseFloatVector"),
]


def row_of_all_types(number: int) -> dict[str, Any]:
    return {
        "id": 2**40 + number,
        "Bool": bool(number % 2),
        "Int8": -number,
        "Int16": 300 + number,
        "Int32": 70_000 + number,
        "Float": number / 4,
        "Double": number / 3,
        "JSON": {"a": [number, None], "ä": "ä"},
        "doc": f'ä,"\n{number}',
        "Array": [number, number + 1],
        "vector": [number / 2, -1.5],
        "SparseFloatVector": {"1": 0.5, str(number + 2): 2.0},
    }


def write(kind: str, path: Path, data: list[dict[str, Any]]) -> None:
    if kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in data))
    elif kind == "csv":
        import csv

        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(data[0])
            for row in data:
                writer.writerow(v if isinstance(v, str | int | float) else json.dumps(v) for v in row.values())
    elif kind == "npz":
        numpy.savez(path, **{name: numpy.array([row[name] for row in data]) for name in data[0]})
    else:
        # Arrow has neither JSON nor maps of any keys as such: pairs, as its maps are read.
        arrow = [{**r, "SparseFloatVector": [(int(i), w) for i, w in r["SparseFloatVector"].items()]} for r in data]
        sparse = pyarrow.array(
            [row.pop("SparseFloatVector") for row in arrow], pyarrow.map_(pyarrow.int64(), pyarrow.float32())
        )
        made = pyarrow.Table.from_pylist(arrow).append_column("SparseFloatVector", sparse)
        (parquet.write_table if kind == "parquet" else feather.write_feather)(made, path)


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet", "arrow", "npz"])
def test_every_type_comes_back_as_it_went_in(kind: str, hook: MilvusHook, tmp_path: Path) -> None:
    # NumPy has no type for mappings that is read without running what is in it.
    left_out = {"JSON", "SparseFloatVector"} if kind == "npz" else set()
    fields = [field for field in TYPES if field["fieldName"] not in left_out]
    indexes = [FLAT]
    for name, metric, index in (("SparseFloatVector", "IP", "SPARSE_INVERTED_INDEX"),):
        if name not in left_out:
            indexes.append({**FLAT, "fieldName": name, "indexName": name, "metricType": metric, "indexType": index})
    hook.send(collections.create("docs", schema={"fields": fields}, index_params=indexes))
    data = [{name: v for name, v in row_of_all_types(i).items() if name not in left_out} for i in range(5)]
    path = tmp_path / f"rows.{kind}"
    write(kind, path, data)

    assert hook.ingest("docs", source=str(path))["rows"] == 5

    names = [field["fieldName"] for field in fields]
    found = hook.send(entities.query("docs", filter="id > 0", output_fields=names, limit=10))
    for row, sent in zip(sorted(found, key=lambda row: row["id"]), data, strict=True):
        if "JSON" in row:
            row["JSON"] = json.loads(row["JSON"]) if isinstance(row["JSON"], str) else row["JSON"]
        assert plain(row) == plain(sent)


def plain(value: Any) -> Any:
    """Make one form of what the server gives and what was sent."""
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return pytest.approx(value, rel=1e-6) if isinstance(value, float) else value
