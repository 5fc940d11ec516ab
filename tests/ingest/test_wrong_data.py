"""Data, files and answers that look right, and would lose or change rows without an error."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy
import orjson
import pyarrow
import pytest
from pyarrow import parquet

from airflow_vectordb.hooks.entities import _batches
from airflow_vectordb.hooks.ingest import open_input
from airflow_vectordb.hooks.milvus import MilvusHook
from airflow_vectordb.ingest import bad_rows
from airflow_vectordb.ingest.bad_rows import BadRows
from airflow_vectordb.ingest.batches import BadRow, Batcher
from airflow_vectordb.ingest.documents import DocumentKeys
from airflow_vectordb.ingest.files import open_file
from airflow_vectordb.ingest.memory import source_of
from airflow_vectordb.ingest.options import Options
from airflow_vectordb.ingest.rows import RowChecker, problems_of_sources
from airflow_vectordb.ingest.run import _add_written
from airflow_vectordb.ingest.staging import stage
from airflow_vectordb.ingest.values import converter, keys_of, text_converter
from airflow_vectordb.ingest.writer import Progress
from airflow_vectordb.operators.import_job import ImportOperator
from airflow_vectordb.operators.ingest import DeleteOperator, IngestOperator
from airflow_vectordb.rest import aliases, collections, entities
from airflow_vectordb.rest.entities import Written
from airflow_vectordb.rest.errors import ConflictError, InvalidParametersError, NotMilvusError
from airflow_vectordb.rest.http.call import Answer
from tests.support.collections import AUTO_ID, DOCS, ID, TITLE, VECTOR, described, field
from tests.support.documents import make, rows, there
from tests.support.ingests import AUTO, Milvus, auto_rows, ingest

TWICE = pyarrow.Table.from_arrays(
    [pyarrow.array([value]) for value in (1, "a", "b", [0.0] * 4)], ["id", "title", "title", "vector"]
)


@pytest.mark.parametrize("content", [b"precious\n", b'{"id": 1}\n', b"[1]\n", b"5\n", b"\xff\xfe\n", b"no line"])
def test_no_other_file_becomes_that_of_the_bad_rows(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "source.jsonl"
    path.write_bytes(content)
    with pytest.raises(InvalidParametersError, match=r"something other than bad rows, .*: name another file"):
        BadRows("skip", path=path).resume(Progress())
    assert path.read_bytes() == content


def test_bad_rows_are_not_kept_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bad_rows, "LINES_AT_ONCE", 2)
    bad = BadRows("skip", path=tmp_path / "bad.jsonl")
    for number in (1, 2, 3):
        bad(BadRow("rows", number, ("wrong",)))
    assert len((tmp_path / "bad.jsonl").read_text().splitlines()) == 2


def test_any_bad_row_can_be_written(tmp_path: Path) -> None:
    bad = BadRows("skip", path=tmp_path / "bad.jsonl")
    bad(BadRow("rows", 1, ("title\u2028: \ud800",)))
    bad.write()
    bad.resume(Progress(row=1, skipped=1))
    assert (tmp_path / "bad.jsonl").read_text().endswith('"field": "title\\u2028", "reason": "\\ud800"}\n')


def test_lines_that_are_cut_short_and_others_of_an_earlier_try(tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    lines = [f'{{"number": 0, "source": "a", "row": {row}, "reason": "\u2028\x85"}}\n' for row in (1, 2)]
    for cut in ('{"num', '{"number": 0, "sou', f'{{"number": 0, "sou{lines[1]}'):
        path.write_text(lines[0] + cut + (lines[1] if cut.endswith("\n") else ""), "utf-8")
        BadRows("skip", path=path).resume(Progress(row=1, skipped=1))
        assert path.read_text("utf-8") == lines[0]


def test_a_collection_that_is_recreated_meanwhile(hook: MilvusHook) -> None:
    make(hook)

    def new() -> Iterator[dict[str, Any]]:
        yield from rows(("a", 2))
        hook.send(collections.drop("docs"))
        make(hook)
        yield from rows(("b", 2))

    kept: list[dict[str, Any]] = []
    with pytest.raises(ConflictError, match=r"^Another client has recreated the collection meanwhile\. A retry"):
        hook.ingest("docs", new, save=kept.append)
    hook.ingest("docs", rows(("a", 2), ("b", 2)), progress=kept[-1])
    assert {name: len(vectors) for name, vectors in there(hook).items()} == {"a": 2, "b": 2}


@pytest.mark.parametrize(("key_field", "transient"), [(None, False), ("doc", True)])
def test_rows_with_generated_keys_that_a_retry_would_double(
    key_field: str | None, transient: bool, hook: MilvusHook
) -> None:
    make(hook, auto_id=True)

    def new() -> Iterator[dict[str, Any]]:
        yield from rows(("a", 1), auto_id=True)
        hook.send(collections.drop("docs"))
        make(hook, auto_id=True)

    with pytest.raises(ConflictError, match="meanwhile") as caught:
        hook.ingest("docs", new, key_field=key_field)
    assert caught.value.transient == transient
    assert ("Empty it first: a retry would double rows" in str(caught.value)) != transient


@pytest.mark.parametrize("name", ["docs", "latest"])
def test_a_server_without_ids_of_collections_tells_of_none_that_is_recreated(
    name: str, hook: MilvusHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(hook)
    hook.send(aliases.create("latest", "docs"))
    send = hook.send

    def without_id(call: Any, **more: Any) -> Any:
        found = send(call, **more)
        is_described = call.path == "collections/describe"
        return replace(found, raw={"fields": found.raw["fields"]}, aliases=None) if is_described else found

    monkeypatch.setattr(hook, "send", without_id)
    kept: list[dict[str, Any]] = []
    assert hook.ingest(name, rows(("a", 2)), save=kept.append)["rows"] == 2
    assert kept[-1]["collection"] == "docs"


def test_a_collection_that_was_recreated_in_the_middle_of_an_earlier_try_has_rows_already() -> None:
    milvus = Milvus(key="doc")
    milvus.rows = auto_rows(5)[2:4]
    progress = Progress(row=4, rows=4, reserved=1, collection="1", seconds_in_doubt=0.0)
    recreated = replace(AUTO, raw={**AUTO.raw, "collectionID": 2})
    ingest(auto_rows(5), recreated, milvus, progress=progress, key_field="doc", batch_rows=2)
    assert sorted(row["doc"] for row in milvus.rows) == [row["doc"] for row in auto_rows(5)]


@pytest.mark.parametrize("order", [1, -1])
def test_a_dynamic_field_that_tells_rows_apart_has_texts_and_integers(order: int) -> None:
    data: list[dict[str, Any]] = [{"tag": tag, "vector": [0] * 4} for tag in ("5", 5, "a", 7)][::order]
    milvus = Milvus(key="tag")
    milvus.rows = data[:3]
    progress = Progress(reserved=4, fingerprints=("4 rows",), seconds_in_doubt=0.0)
    ingest(data, described(AUTO_ID, VECTOR, dynamic=True), milvus, progress=progress, key_field="tag")
    assert [row["tag"] for row in milvus.rows] == [row["tag"] for row in data]


@pytest.mark.parametrize("kind", ["Int64", "VarChar"])
@pytest.mark.parametrize("ids", [(), (1,), (None, None, None)])
def test_answers_without_the_keys_of_documents(
    ids: tuple[Any, ...], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    milvus, collection = Milvus(), described({**AUTO_ID, "type": kind}, field("doc", "VarChar"), VECTOR)
    monkeypatch.setattr(milvus, "send", lambda call: Written(3, ids))
    with pytest.raises(NotMilvusError, match="the ids of inserted rows"):
        ingest(auto_rows(3), collection, milvus, replace_documents="doc")


def test_keys_that_come_as_text() -> None:
    assert keys_of([{"id": "5"}, {"id": 6}], "id", "Int64") == [5, 6]


@pytest.mark.parametrize("row", [{}, {"id": None}, {"id": [1]}, {"id": "x"}])
def test_answers_without_keys(row: dict[str, Any]) -> None:
    with pytest.raises(NotMilvusError, match=r"\(id: "):
        keys_of([row], "id", "Int64")


@pytest.mark.parametrize("data", [{}, False, "", 0, [None], [[["id", 1]]]])
def test_what_is_no_list_of_rows_does_not_stand_for_none(data: Any) -> None:
    with pytest.raises(TypeError):
        entities.query("docs").read(Answer(data, {}))


def test_two_columns_for_one_field(tmp_path: Path) -> None:
    parquet.write_table(TWICE, tmp_path / "a.parquet")
    mapping = {"text": "title"}
    renamed = TWICE.rename_columns(["id", "title", "text", "vector"])
    for source, given in (
        (source_of(TWICE), None),
        (open_file(tmp_path / "a.parquet"), None),
        (source_of(renamed), mapping),
    ):
        problems = problems_of_sources([source], [RowChecker(DOCS, given)])
        assert problems == [f"{source.name}: title: several columns are for this field"]
    row = {"id": 1, "title": "a", "text": "b", "vector": [0] * 4}
    assert RowChecker(DOCS, mapping).check(row)[1] == ["title: several columns are for this field"]
    assert RowChecker(DOCS, mapping).check({**row, "text": None}) == ({"id": 1, "title": "a", "vector": [0] * 4}, [])
    dynamic = RowChecker(described(AUTO_ID, VECTOR, dynamic=True), mapping)
    for values in ({"text": None, "title": "a"}, {"title": "a", "text": None}):
        assert dynamic.check({"vector": [0] * 4, **values}) == ({"vector": [0] * 4, "title": "a"}, [])
    with pytest.raises(InvalidParametersError, match="several columns have the same name: id, title, title"):
        next(source_of(TWICE).blocks())


def test_a_generator_that_yields_one_mapping_again_and_again(hook: MilvusHook) -> None:
    def reused() -> Iterator[dict[str, Any]]:
        row: dict[str, Any] = {}
        for data in auto_rows(5):
            row.update(data)
            yield row

    milvus = Milvus(key="doc")
    ingest([source_of(reused())], AUTO, milvus)
    assert milvus.rows == auto_rows(5)
    assert [orjson.loads(row) for batch in _batches(reused()) for row in batch] == auto_rows(5)


def test_a_field_that_is_named_as_the_chunks_of_an_embedding_task() -> None:
    data = [{"id": 1, "chunks": ["a", "b"]}, {"id": 2, "chunks": []}]
    assert [row for block in source_of(data).blocks() for row in block.rows] == data


def test_maps_of_arrow_are_mappings() -> None:
    column = pyarrow.array([[("page", 5)], None], pyarrow.map_(pyarrow.string(), pyarrow.int64()))
    (block,) = source_of(pyarrow.table({"meta": column})).blocks()
    assert block.rows == [{"meta": {"page": 5}}, {"meta": None}]


def test_globs_that_overlap_do_not_double_rows(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("{}")
    given = [f"{tmp_path}/*.jsonl", f"{tmp_path}/a.*", f"{tmp_path}/a.jsonl"]
    assert [one.name for one in open_input(None, given, None, AUTO, allow_missing=False)] == ["a.jsonl"]


def test_a_row_that_was_skipped_is_not_one_of_its_document() -> None:
    """Else a retry would take it for written, and deleted by another task."""
    collection = described(ID, field("doc", "VarChar"), dynamic=True)
    data = [{"id": number, "doc": "a", "x": {1, 2} if number == 1 else 0} for number in range(6)]
    with closing(DocumentKeys("doc", "id")) as keys:
        batcher = Batcher(Options(replace_documents="doc"), Mock())
        _add_written(keys, batcher, source_of(data), RowChecker(collection), 4)
        assert list(keys.own_filters()) == [("id in [0, 2, 3]", 3)]


def test_a_column_without_a_name() -> None:
    collection, columns = described(ID, TITLE, dynamic=True), ["", "id", "title"]  # as pandas writes its index to CSV
    problem = "a column has no name; field_mapping={'': None} drops it"
    assert RowChecker(collection).problems_of_columns(columns) == [problem]
    assert RowChecker(collection, {"": None}).problems_of_columns(columns) == []


def test_frames() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"id": [1, 2], "title": ["a", "b"]})
    filtered, index = frame[frame["id"] > 1], "__index_level_0__"
    row: Any = next(source_of(filtered).blocks()).rows[0]
    number = field("number", "Int64")
    checkers: list[tuple[RowChecker, dict[str, Any]]] = [
        (RowChecker(described(ID, TITLE)), {}),
        (RowChecker(described(ID, TITLE, dynamic=True)), {}),
        (RowChecker(described(ID, TITLE, {**number, "name": index})), {index: 1}),  # as a proposed schema has it
        (RowChecker(described(ID, TITLE, number), {index: "number"}), {"number": 1}),
        (RowChecker(described(ID, TITLE), {index: None}), {}),
    ]
    for checker, left in checkers:
        assert checker.problems_of_columns(list(row)) == []
        assert checker.check(row) == ({"id": 2, "title": "b", **left}, [])
    assert [orjson.loads(one) for batch in _batches(filtered) for one in batch] == [{"id": 2, "title": "b"}]
    for wrong in (pandas.DataFrame({"title": ["a", 5]}), pandas.DataFrame([[1, 2]], columns=["a", "a"])):
        with pytest.raises(InvalidParametersError, match=r"invalid rows: the frame cannot become Arrow data"):
            list(source_of(wrong).blocks())


def test_empty_lines_and_marks_of_the_byte_order(tmp_path: Path) -> None:
    for name, text in (("a.csv", "\ufeff\nid\n1\n\n\n2\n\n"), ("a.jsonl", '\ufeff{"id": "1"}\n\n{"id": "2"}\n')):
        (tmp_path / name).write_text(text, "utf-8")
        assert [row for block in open_file(tmp_path / name).blocks() for row in block.rows] == [
            {"id": "1"},
            {"id": "2"},
        ]


@pytest.mark.parametrize("kind", ["Int64", "Double"])
@pytest.mark.parametrize("text", ["2024_01", "١٢", "x1", "1,5"])
def test_texts_that_are_no_numbers_outside_of_python(kind: str, text: str) -> None:
    with pytest.raises(ValueError, match=f"^'{text}' is not an? (integer|number)$"):
        text_converter(kind, converter(kind))(text)
    assert text_converter(kind, converter(kind))("\xa0+7 ") == 7


@pytest.mark.parametrize("value", [{1: 0.5, "1": 0.7}, {"indices": [1, 1], "values": [0.5, 0.7]}, [(1, 0.5), (1, 0.5)]])
def test_an_index_of_a_sparse_vector_that_is_there_twice(value: Any) -> None:
    with pytest.raises(ValueError, match="index 1 occurs twice"):
        converter("SparseFloatVector")(value)


def test_what_a_retry_could_not_read_again() -> None:
    given: dict[str, Any] = {"task_id": "t", "collection_name": "docs"}
    for again in (numpy.array([{}, {}]), {1: {}}.values(), [{}], lambda: map(dict, []), TWICE):
        IngestOperator(**given, rows=again)
        ImportOperator(**given, rows=again, stage_to="/tmp")
    for task, more in (
        (IngestOperator, {"rows": map(dict, [])}),
        (ImportOperator, {"rows": map(dict, []), "stage_to": "/tmp"}),
        (DeleteOperator, {"ids": iter([1])}),
        (IngestOperator, {"rows": [], "replace_documents": "doc", "documents": iter(["a"])}),
    ):
        with pytest.raises(ValueError, match="which only one try could read: pass"):
            task(**given, **more)


@pytest.mark.parametrize(
    ("method", "given", "problem"),
    [
        ("ingest", {"rows": [], "partition_name": ""}, "partition_name is ''"),
        ("ingest", {"rows": [], "replace_documents": ""}, "replace_documents is ''"),
        ("ingest", {"rows": [], "key_field": ""}, "key_field is ''"),
        ("delete", {"filter": "id > 0", "partition_name": ""}, "partition_name is ''"),
        ("delete", {"filter": ["id > 0"]}, "filter must be an expression, not a list"),
        ("delete", {"filter": "id in {ids}", "filter_params": "{'ids': 1}"}, "filter_params must be a mapping"),
        ("search", {"data": [[1, 2]], "search_params": "{}"}, "search_params must be a mapping"),
        ("search", {"data": [[1, 2]], "search_params": {"params": "ef"}}, "search_params must be a mapping"),
    ],
)
def test_arguments_that_stand_for_something_else(
    method: str, given: dict[str, Any], problem: str, hook: MilvusHook
) -> None:
    with pytest.raises(InvalidParametersError, match=problem):
        getattr(hook, method)("docs", **given)


def test_parts_staged_for_a_collection_that_is_gone() -> None:
    kept: list[dict[str, Any]] = []
    given = [source_of([{"id": 1, "title": "a", "vector": [0] * 4}])]
    for identity in (1, 2, 2):
        collection = replace(DOCS, raw={**DOCS.raw, "collectionID": identity})
        progress = Progress.from_json(kept[-1]) if kept else None
        stage(given, collection, lambda number: io.BytesIO(), BadRows(), progress=progress, save=kept.append)
    # The first and the second one write the part, and then the end; the third one finds it.
    assert [fact["collection"] for fact in kept] == ["1", "1", "2", "2", "2"]
    assert {fact["batches"] for fact in kept} == {1}


@pytest.mark.parametrize(("documents", "left"), [(numpy.array(["a"]), {"b"}), (0, {"a", "b"}), (None, {"a", "b"})])
def test_documents_that_are_neither_true_nor_false(documents: Any, left: set[str], hook: MilvusHook) -> None:
    make(hook)
    hook.ingest("docs", rows(("a", 1), ("b", 1)))
    task = IngestOperator(task_id="t", collection_name="docs", rows=[], replace_documents="doc", documents=documents)
    with pytest.raises(InvalidParametersError, match="documents must be a list") if documents == 0 else nullcontext():
        task.execute({})
    assert set(there(hook)) == left
