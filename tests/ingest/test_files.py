"""Files of each format as sources: rows, blocks, resuming at any row, and files that are not what their names say."""

from __future__ import annotations

import errno
import gzip
import json
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import ipc, parquet

from airflow_vectordb.ingest.files import open_file
from airflow_vectordb.ingest.memory import ArrowData
from airflow_vectordb.ingest.source import Source, Unreadable
from airflow_vectordb.ingest.storage import StorageError
from airflow_vectordb.rest.errors import InvalidParametersError

COUNT = 2500  # more than two blocks
VECTORS = np.arange(COUNT * 4, dtype=np.float32).reshape(COUNT, 4)


def _table() -> pa.Table:
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(VECTORS.ravel()), 4)
    return pa.table({"id": pa.array(range(COUNT)), "vector": vectors})


def _json_lines(path: Path) -> None:
    rows = ({"id": i, "vector": vector.tolist()} for i, vector in enumerate(VECTORS))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _csv(path: Path) -> None:
    lines = (f'{i},"{json.dumps(vector.tolist())}"\n' for i, vector in enumerate(VECTORS))
    path.write_text("id,vector\n" + "".join(lines))


def _arrow(path: Path) -> None:
    with ipc.new_file(path, _table().schema) as writer:
        writer.write_table(_table(), max_chunksize=700)


def _arrow_stream(path: Path) -> None:
    with ipc.new_stream(path, _table().schema) as writer:
        writer.write_table(_table(), max_chunksize=700)


def _npy(path: Path) -> None:
    np.save(path, VECTORS)
    path.with_suffix(".csv").write_text("id\n" + "".join(f"{i}\n" for i in range(COUNT)))


def _packed(write: Callable[[Path], None]) -> Callable[[Path], None]:
    def packed(path: Path) -> None:
        write(path)
        path.write_bytes(gzip.compress(path.read_bytes()))

    return packed


def _zstd(write: Callable[[Path], None]) -> Callable[[Path], None]:
    def packed(path: Path) -> None:
        write(path)
        data = path.read_bytes()
        with pa.CompressedOutputStream(str(path), "zstd") as stream:
            stream.write(data)

    return packed


def _parquet(path: Path) -> None:
    parquet.write_table(_table(), path, row_group_size=900)


def _npz(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, id=np.arange(COUNT), vector=VECTORS)


FORMATS: dict[str, Callable[[Path], None]] = {
    "rows.jsonl": _json_lines,
    "rows.jsonl.gz": _packed(_json_lines),
    "rows.ndjson.zst": _zstd(_json_lines),
    "rows.csv": _csv,
    "rows.csv.gz": _packed(_csv),
    "rows.parquet": _parquet,
    "rows.parquet.gz": _packed(_parquet),
    "rows.parquet.zst": _zstd(_parquet),
    "rows.arrow": _arrow,
    "rows.arrow.zst": _zstd(_arrow),
    "rows.feather": _arrow_stream,
    "rows.arrows.zst": _zstd(_arrow_stream),
    "rows.npz": _npz,
    "rows.npz.zst": _zstd(_npz),
    "rows.npy": _npy,
}


def source(path: Path) -> Source:
    return open_file(path)


def rows_of(found: Source, first: int = 0) -> list[tuple[int, Any]]:
    return [(number, row) for block in found.blocks(first) for number, row in enumerate(block.rows, start=block.first)]


def _plain(row: dict[str, Any]) -> tuple[int, list[float]]:
    vector = row["vector"]
    return int(row["id"]), json.loads(vector) if isinstance(vector, str) else [float(number) for number in vector]


@pytest.fixture(scope="module", params=FORMATS)
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Source:
    path = tmp_path_factory.mktemp("files") / request.param
    FORMATS[request.param](path)
    return source(path)


def test_each_row_is_read_once_in_order(found: Source) -> None:
    rows = rows_of(found)
    assert [number for number, _ in rows] == list(range(COUNT))
    assert [_plain(row) for _, row in rows] == [(i, vector.tolist()) for i, vector in enumerate(VECTORS)]


@pytest.mark.parametrize("first", [1, 899, 900, 1000, 1001, COUNT - 1, COUNT])
def test_reading_goes_on_from_any_row(found: Source, first: int) -> None:
    rows = rows_of(found, first)
    assert [(number, _plain(row)[0]) for number, row in rows] == [(i, i) for i in range(first, COUNT)]


def test_a_fingerprint_changes_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    parquet.write_table(_table(), path)
    before = source(path).fingerprint()
    assert source(path).fingerprint() == before
    parquet.write_table(_table().slice(1), path)
    assert source(path).fingerprint() != before


def test_float32_of_a_file_is_float32(tmp_path: Path) -> None:
    for name in ("rows.parquet", "rows.arrow", "rows.npz", "rows.npy"):
        FORMATS[name](tmp_path / name)
        assert rows_of(source(tmp_path / name))[0][1]["vector"].dtype == np.float32


def test_vectors_of_lists_of_any_length_and_nulls(tmp_path: Path) -> None:
    column = pa.array([[1.0, 2.0], None, [3.0], [], [None, 4.0]], pa.list_(pa.float32()))
    parquet.write_table(pa.table({"v": column}), tmp_path / "rows.parquet")
    values = [row["v"] for _, row in rows_of(source(tmp_path / "rows.parquet"), 1)]
    assert [value if value is None else list(value) for value in values] == [None, [3.0], [], [None, 4.0]]


@pytest.mark.parametrize("kind", [pa.list_(pa.float32()), pa.list_(pa.float32(), 2), pa.large_list(pa.float32())])
@pytest.mark.parametrize(
    "values",
    [
        [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]],
        [[1.0, 2.0], None, [5.0, 6.0]],
        [[1.0, 2.0], [None, 4.0], [5.0, 6.0]],
        [None, None, None],
    ],
)
def test_vectors_are_also_given_together_where_there_are_all(kind: Any, values: Any) -> None:
    data = ArrowData(pa.table({"v": pa.array(values, kind).slice(1)}))
    (block,) = data.blocks()
    assert [None if row["v"] is None else list(row["v"]) for row in block.rows] == values[1:]  # type: ignore[union-attr]
    complete = all(value is not None and None not in value for value in values[1:])
    assert {name: matrix.tolist() for name, matrix in block.matrices.items()} == ({"v": values[1:]} if complete else {})


def test_a_row_group_is_not_in_memory_as_a_whole(tmp_path: Path) -> None:
    numbers = np.random.default_rng(1).standard_normal(5_000 * 1024, np.float32)
    column = pa.FixedSizeListArray.from_arrays(pa.array(numbers), 1024).cast(pa.list_(pa.float32()))
    parquet.write_table(pa.table({"v": column}), tmp_path / "rows.parquet")
    del column, numbers
    tracemalloc.start()  # what is read of a file is Python's
    try:
        list(map(len, (block.rows for block in source(tmp_path / "rows.parquet").blocks())))
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 12 * 1024 * 1024  # of 20


def test_lines_that_are_no_row_are_named(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"id": 1}\n\n[2]\n{"id": 3\n{"id": 4}')
    rows = rows_of(source(tmp_path / "rows.jsonl"))
    assert [number for number, _ in rows] == [0, 1, 2, 3]
    assert rows[1][1] == Unreadable("is JSON, but not an object")
    assert rows[2][1].reason.startswith("is not JSON: ")


def test_a_csv_row_with_a_column_too_many_is_named(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n1,2,3\n1\n,4\n")
    assert [row for _, row in rows_of(source(tmp_path / "rows.csv"))] == [
        {"a": "1", "b": "2"},
        Unreadable("3 columns, and the header has 2"),
        Unreadable("1 columns, and the header has 2"),
        {"a": None, "b": "4"},
    ]


@pytest.mark.parametrize("name", sorted(FORMATS.keys() - {"rows.jsonl", "rows.csv"}))
def test_a_file_that_was_cut_short_is_an_error_that_names_it(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    FORMATS[name](path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InvalidParametersError, match=name):
        rows_of(source(path))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("rows.jsonl.gz", lambda whole: b""),
        ("rows.ndjson.zst", lambda whole: b""),
        ("rows.feather", lambda whole: whole[:-8]),  # as a writer leaves it that was killed between two batches
        ("rows.feather", lambda whole: whole + whole),
        ("rows.npy", lambda whole: whole + whole),
    ],
)
def test_a_file_that_seems_whole_with_fewer_rows(tmp_path: Path, name: str, change: Callable[[bytes], bytes]) -> None:
    path = tmp_path / name
    FORMATS[name](path)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(InvalidParametersError, match=name):
        rows_of(source(path))


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.csv.gz"])
def test_a_file_that_changes_while_it_is_read(tmp_path: Path, name: str) -> None:
    FORMATS[name](tmp_path / name)
    blocks = source(tmp_path / name).blocks()
    next(blocks)
    FORMATS[name](tmp_path / name)
    with pytest.raises(StorageError, match=f"{name}: it has changed while it was read") as caught:
        list(blocks)
    assert caught.value.transient


@pytest.mark.parametrize(
    ("error", "expected"), [(OSError(errno.ENOSPC, "No space left"), StorageError), (MemoryError(), MemoryError)]
)
def test_what_the_worker_lacks_is_no_fault_of_the_file(
    error: Exception, expected: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FORMATS["rows.parquet.gz"](tmp_path / "rows.parquet.gz")
    monkeypatch.setattr("shutil.copyfileobj", Mock(side_effect=error))
    with pytest.raises(expected) as caught:
        rows_of(source(tmp_path / "rows.parquet.gz"))
    assert getattr(caught.value, "transient", True)


def test_an_array_and_a_table_of_different_lengths(tmp_path: Path) -> None:
    _npy(tmp_path / "rows.npy")
    (tmp_path / "rows.csv").write_text("id\n1\n2\n")
    with pytest.raises(InvalidParametersError, match=r"2500 vectors, and rows\.csv has 2 rows"):
        rows_of(source(tmp_path / "rows.npy"))
    (tmp_path / "rows.csv").write_text("id\n" + "1\n" * (COUNT + 1))
    with pytest.raises(InvalidParametersError, match=r"2500 vectors, and rows\.csv has more rows"):
        rows_of(source(tmp_path / "rows.npy"))


@pytest.mark.parametrize("table", ["rows.csv", "rows.jsonl"])
def test_an_array_beside_a_table_that_has_its_field(tmp_path: Path, table: str) -> None:
    np.save(tmp_path / "rows.npy", VECTORS)
    FORMATS[table](tmp_path / table)
    assert source(tmp_path / "rows.npy").columns() in (None, ["id", "vector"])
    with pytest.raises(InvalidParametersError, match=rf"rows\.npy: {table} has 'vector', too: keep"):
        rows_of(source(tmp_path / "rows.npy"))


def test_an_array_beside_a_table_with_empty_lines(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", VECTORS[:2])
    (tmp_path / "rows.jsonl").write_text('{"id": 0}\n\n{"id": 1}\n\n')
    assert [_plain(row) for _, row in rows_of(source(tmp_path / "rows.npy"))] == [
        (i, VECTORS[i].tolist()) for i in range(2)
    ]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("rows.xlsx", b"", "unknown file format"),
        ("rows", b"", "unknown file format"),
        ("rows.jsonl", b'[{"id": 1}]', "is one JSON array; write one object per line"),
        ("rows.csv", b"a,b,a\n1,2,3\n", "its header has 'a' twice"),
        ("rows.csv", b"a,b\n1,\xfc\n", r"rows\.csv: cannot be read beyond row 0: it is not UTF-8, convert it"),
        ("rows.parquet", b"no parquet", "rows.parquet"),
        ("rows.arrow", b"no arrow", "rows.arrow"),
        ("rows.npz", b"no zip", "rows.npz"),
        ("rows.npy", b"no array", "rows.npy"),
    ],
)
def test_a_file_that_is_not_what_its_name_says(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidParametersError, match=words):
        rows_of(source(tmp_path / name))


def test_a_header_cut_short_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "rows.npz", "w") as archive:
        archive.writestr("v.npy", b"\x93NUMPY\x01\x00\x10\x00{'shape': (3, \n\n\n")  # a TokenError of Python's
    with pytest.raises(InvalidParametersError, match=r"rows\.npz: "):
        rows_of(source(tmp_path / "rows.npz"))


def test_an_error_does_not_repeat_the_file(tmp_path: Path) -> None:
    _npz(path := tmp_path / "rows.npz")
    content = bytearray(path.read_bytes())
    content[27] = 8  # the first name in it has 2048 bytes more
    path.write_bytes(content)
    with pytest.raises(InvalidParametersError, match=r"rows\.npz: ") as caught:
        rows_of(source(path))
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("name", ["rows.arrow", "rows.arrows"])
def test_texts_that_end_before_they_begin_do_not_reach_python(tmp_path: Path, name: str) -> None:
    """Reading other broken ones would end the process."""
    offsets = pa.py_buffer(np.array([0, 4, 1], "int32"))
    texts = pa.Array.from_buffers(pa.string(), 2, [None, offsets, pa.py_buffer(b"abcdefgh")])
    batch = pa.record_batch({"title": texts})
    with (ipc.new_file if name == "rows.arrow" else ipc.new_stream)(tmp_path / name, batch.schema) as writer:
        writer.write_batch(batch)
    with pytest.raises(InvalidParametersError, match=rf"{name}: cannot be read beyond row 0: .*[Oo]ffset"):
        rows_of(source(tmp_path / name))


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.csv"])
def test_an_empty_file_has_no_rows(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    assert rows_of(source(tmp_path / name)) == []
    assert source(tmp_path / name).columns() is None  # it lacks none


def test_an_array_with_python_objects_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(InvalidParametersError, match="has Python objects"):
        rows_of(source(tmp_path / "rows.npy"))
