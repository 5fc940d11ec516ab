"""Import files that hold, or claim to hold, far more than their size: refused before there is memory for it."""

from __future__ import annotations

import io
import json
import struct
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest

from airflow_vectordb.local import LocalMilvus
from airflow_vectordb.local.engine.lite import import_files
from airflow_vectordb.local.engine.lite.catalog import Catalog
from airflow_vectordb.local.engine.lite.disk import Reserve
from airflow_vectordb.local.engine.lite.import_files import open_file, read_group
from airflow_vectordb.local.engine.model import CollectionSpec, FieldSpec
from airflow_vectordb.local.errors import ApiError
from tests.support.import_jobs import ended, imported, rows_of
from tests.support.local_api import Api, Json, cpu_seconds

SPEC = CollectionSpec(
    "c",
    [
        FieldSpec("id", "Int64", is_primary=True),
        FieldSpec("vector", "FloatVector", params={"dim": "2"}),
        FieldSpec("text", "VarChar", params={"max_length": "100"}),
    ],
    dynamic=True,
)


def header(shape: tuple[Any, ...], kind: str = "<i8", order: bool = False, *, size: int = 128) -> bytes:
    text = f"{{'descr': '{kind}', 'fortran_order': {order}, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", size - 10) + text.ljust(size - 11) + b"\n"


def parquet(**columns: Any) -> bytes:
    written = io.BytesIO()
    pq.write_table(pa.table(columns), written, compression="zstd")
    return written.getvalue()


def repeated(value: Any, count: int) -> Any:
    """A column with the same value again and again, which takes next to nothing in a file."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, dtype=np.int32)), pa.array([value]))


def zeros(rows: int, length: int) -> Any:
    """Vectors, as long as there are so many zeros."""
    offsets = pa.array(np.arange(rows + 1, dtype=np.int32) * length)
    return pa.ListArray.from_arrays(offsets, pa.array(np.zeros(rows * length, dtype=np.float32)))


def npz() -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("id.npy", header((50_000_000,)) + bytes(400_000_000))
    return written.getvalue()


def numbers(count: int) -> Any:
    return pa.array(np.zeros(count, dtype=np.int64))


BOMBS: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "a header alone": ("id.npy", lambda: header((3_000_000_000,)), "claims the shape"),
    "a header and some": ("id.npy", lambda: header((3_000_000_000,)) + bytes(1000), "claims the shape"),
    "empty texts": ("id.npy", lambda: header((3_000_000_000,), "<U0"), "claims the shape"),
    "rows of nothing": ("id.npy", lambda: header((3_000_000_000, 0)), "claims the shape"),
    "a long row": ("id.npy", lambda: header((1, 3_000_000_000)), "claims the shape"),
    "by columns": ("id.npy", lambda: header((3, 1_000_000_000), "<i8", True), "claims the shape"),
    "fewer than none": ("id.npy", lambda: header((-3, -3)), "claims the shape"),
    "a large header": ("id.npy", lambda: header((1,), size=60_000), "Header info length"),
    "objects": ("id.npy", lambda: header((3_000_000_000,), "|O"), "no list of numbers"),
    "many dimensions": ("id.npy", lambda: header((1,) * 2000, size=9000), "cannot read id.npy"),
    "an archive": ("id.npy", npz, "cannot read id.npy"),
    "rows of one value": ("rows.parquet", lambda: parquet(id=numbers(40_000_000)), "40000000 rows"),
    "rows of nulls": ("rows.parquet", lambda: parquet(id=pa.nulls(40_000_000, pa.int64())), "40000000 rows"),
    "values of one kind": (
        "rows.parquet",
        lambda: parquet(**{f"c{i}": numbers(9_000_000) for i in range(9)}),
        "bytes",
    ),
    "long vectors": ("rows.parquet", lambda: parquet(id=numbers(2000), vector=zeros(2000, 80_000)), "bytes"),
    "one long vector": ("rows.parquet", lambda: parquet(id=numbers(1), vector=zeros(1, 100_000_000)), "bytes"),
    "a long text, often": (
        "rows.parquet",
        lambda: parquet(id=numbers(5_000_000), text=repeated("x" * 1_000_000, 5_000_000)),
        "bytes",
    ),
    "a text too long for a row": (
        "rows.parquet",
        lambda: parquet(id=numbers(1), text=repeated("x" * 20_000_000, 1)),
        "a row has more than",
    ),
    "lists of long texts": (
        "rows.parquet",
        lambda: parquet(
            id=numbers(3000),
            text=pa.ListArray.from_arrays(np.arange(3001, dtype=np.int32) * 2, repeated("x" * 1_000_000, 6000)),
        ),
        "bytes",
    ),
    "objects of nothing": ("rows.json", lambda: b"[" + b"{}," * 50_000_000 + b"{}]", "field id"),
    "a row of numbers": ("rows.json", lambda: b'[{"id":[' + b"1," * 50_000_000 + b"1]}]", "a row has more than"),
    "a row of lists": ("rows.json", lambda: b'[{"id":' + b"[" * 50_000_000, "rows.json"),
    "a row of objects": ("rows.json", lambda: b'[{"id":' * 10_000_000, "rows.json"),
    "a long number": ("rows.json", lambda: b'[{"id":' + b"1" * 50_000_000 + b"}]", "rows.json"),
    "a long text": ("rows.json", lambda: b'[{"id":"' + b"x" * 50_000_000, "a row has more than"),
    "a text of escapes": ("rows.json", lambda: b'[{"id":"' + b'\\"' * 25_000_000, "a row has more than"),
    "spaces": ("rows.json", lambda: b" " * 50_000_000, "list of rows"),
    "spaces within": ("rows.json", lambda: b"[" + b" " * 50_000_000, "list of rows"),
    "commas": ("rows.json", lambda: b"[" + b"," * 50_000_000, "list of rows"),
    "a long line": ("rows.csv", lambda: b"id," + b"x" * 50_000_000, "a row has more than"),
    "a line of commas": ("rows.csv", lambda: b"id,vector\n1" + b"," * 50_000_000, "a row has more than"),
    "a name without end": ("rows.csv", lambda: b'"' + b"x\n" * 25_000_000, "a row has more than"),
    "a row over many lines": ("rows.csv", lambda: b"id,vector\n" + b'"\n",' * 12_000_000, "a row has more than"),
    "lines of nothing": ("rows.csv", lambda: b"id\n" + b"\n" * 50_000_000, "line 2"),
}


#: Those that take seconds to make or to read. Each kind of file and each limit is among the others, too.
LARGE = {
    "an archive",
    "rows of nulls",
    "long vectors",
    "one long vector",
    "a long text, often",
    "objects of nothing",
    "a row of numbers",
    "a text of escapes",
    "spaces within",
    "commas",
    "a line of commas",
    "a name without end",
    "a row over many lines",
}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalMilvus]:
    with LocalMilvus(tmp_path_factory.mktemp("data")) as started:
        yield started


@pytest.fixture(scope="module")
def importing(running: LocalMilvus) -> Api:
    api = Api(running.uri, running.token)
    api.ok("collections/create", collectionName="c", dimension=2)
    # What is loaded at the first use is no part of a file.
    for name in ("first.json", "first.csv"):
        (running.files / name).write_text("id,vector\n")
        imported(api, "c", [name])
    (running.files / "first.parquet").write_bytes(parquet(id=[1], vector=[[1.0, 1.0]]))
    imported(api, "c", ["first.parquet"])
    return api


def peak(server: LocalMilvus) -> int:
    """Most MiB of memory that the server has had since it was last asked."""
    Path(f"/proc/{server.pid}/clear_refs").write_text("5")
    status = Path(f"/proc/{server.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


@pytest.mark.parametrize("bomb", [pytest.param(b, marks=pytest.mark.slow) if b in LARGE else b for b in BOMBS])
def test_a_file_of_more_than_there_may_be_is_refused(running: LocalMilvus, importing: Api, bomb: str) -> None:
    name, content, words = BOMBS[bomb]
    (running.files / name).write_bytes(content())
    before = peak(running)
    spent = cpu_seconds(running.pid)
    told = imported(importing, "c", [name], seconds=300)
    spent = cpu_seconds(running.pid) - spent
    (running.files / name).unlink()
    status = Path(f"/proc/{running.pid}/status").read_text()
    most = int(status.partition("VmHWM:")[2].split()[0]) // 1024
    assert (told["state"], words in told["reason"]) == ("Failed", True), told["reason"]
    assert most - before < 400
    assert spent < 20
    assert "Traceback" not in running.log()


def test_memory_that_there_is_not_ends_the_job_alone(
    running: LocalMilvus, importing: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(spec: CollectionSpec, file: Any, options: Json) -> Iterator[list[Json]]:
        raise MemoryError
        yield []

    monkeypatch.setitem(import_files._READERS, ".json", fail)
    with pytest.raises(ApiError, match="not enough memory"):
        list(read_group(SPEC, ["a.json"], [io.BytesIO()], {}))


# --- what is in pieces comes out whole ---


def read(name: str, content: bytes, **options: str) -> list[Json]:
    with io.BytesIO(content) as file:
        return [row for rows in read_group(SPEC, [name], [file], options) for row in rows]


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 4096])
def test_json_is_read_the_same_in_pieces_of_any_size(monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    rows = [{"id": i, "text": 'größe "\\]},{[ 😀\n', "vector": [i / 7, -1e-9], "x": {"a": [[], {}]}} for i in range(5)]
    monkeypatch.setattr(import_files, "PIECE", piece)
    start = " " * (piece > 100)
    for made in (rows, rows[:1], []):
        for shape in (made, {"rows": made}):
            for text in (json.dumps(shape), json.dumps(shape, ensure_ascii=False, indent=1) + "\n \t"):
                if piece < len('{ "rows" : ['):
                    # The beginning is looked for in the first piece.
                    monkeypatch.setattr(import_files, "PIECE", 40)
                assert read("a.json", (start + text).encode()) == made


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "{", "[", "[{", "[{}", "[{},", "[{},]", "[,{}]", "[{}{}]", "[{} {}]", "[{}]]", "[{}],", "[{}] x"),
        *(
            "[{}, 1]",
            "[1, {}]",
            "[[]]",
            "[null]",
            '["a"]',
            '{"rows": [{}]',
            '{"rows": [{}]}}',
            '{"rows": [{}], "x": 1}',
        ),
        *('{"x": [{}]}', '{"rows": {}}', '{"rows": 1}', "[{'id': 1}]", '[{"id": NaN}]', '[{"id": 01}]', "\ufeff[{}]"),
        *('[{"id": Infinity}]', '[{"id": "\\ud800"}]', '[{"id": "\x01"}]', '[{"id": 1,}]', '[{"id": 1]}', "nonsense"),
    ],
)
def test_what_is_no_json_of_rows_is_refused(text: str) -> None:
    with pytest.raises(ApiError, match=r"cannot read a\.json"):
        read("a.json", text.encode())


def test_rows_of_very_different_sizes(running: LocalMilvus, importing: Api) -> None:
    lengths = [1, 2_000_000, 1, 3_000_000, *[1] * 20_000, 1_000_000]
    texts = [str(i) * length for i, length in zip(range(1, 10), lengths, strict=False)]
    texts += ["x"] * (len(lengths) - len(texts))
    columns = {"id": list(range(len(texts))), "text": texts, "vector": [[float(i), 1.0] for i in range(len(texts))]}
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    assert read("a.parquet", parquet(**columns)) == rows
    assert read("a.json", json.dumps(rows).encode()) == rows
    lines = "".join(f'{row["id"]},{row["text"]},"{row["vector"]}"\r\n' for row in rows)
    assert read("a.csv", f"id,text,vector\r\n{lines}".encode()) == [{**row, "id": str(row["id"])} for row in rows]


def test_numpy_files_in_either_order(running: LocalMilvus, importing: Api) -> None:
    count = 5000
    vectors = np.arange(2 * count, dtype=np.float32).reshape(count, 2)
    for order in ("C", "F"):
        importing.ok("collections/truncate", collectionName="c")
        np.save(running.files / "id.npy", np.arange(count))
        np.save(running.files / "vector.npy", np.asarray(vectors, order=order))  # type: ignore[call-overload]
        told = imported(importing, "c", ["id.npy", "vector.npy"])
        assert (told["state"], told["importedRows"]) == ("Completed", count), told
        found = importing.ok("entities/get", collectionName="c", id=[0, 2001, count - 1])
        assert [row["vector"] for row in found] == [[2.0 * row["id"], 2.0 * row["id"] + 1] for row in found]


# --- links ---


def test_a_link_that_is_made_meanwhile_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, outside = tmp_path / "files", tmp_path / "outside"
    (root / "deep").mkdir(parents=True)
    outside.mkdir()
    (outside / "a.json").write_text("secret")
    (root / "deep/a.json").write_text("mine")
    (root / "link.json").symlink_to("deep/a.json")
    (root / "link").symlink_to("deep")
    for name in ("deep/a.json", "link.json", "link/a.json"):
        with open_file(root, name) as file:
            assert file.read() == b"mine"
    located = import_files.locate

    def locate_and_change(folder: Path, name: str) -> Path:
        found = located(folder, name)
        change()
        return found

    def replace_file() -> None:
        (root / "deep/a.json").unlink()
        (root / "deep/a.json").symlink_to(outside / "a.json")

    def replace_folder() -> None:
        (root / "deep").rename(root / "was")
        (root / "deep").symlink_to(outside)

    monkeypatch.setattr(import_files, "locate", locate_and_change)
    for change in (replace_file, replace_folder):  # noqa: B007 - it is called above
        with pytest.raises(ApiError, match="no such file"):
            open_file(root, "deep/a.json")
        (root / "deep/a.json").unlink()
        (root / "deep/a.json").write_text("mine")
    monkeypatch.undo()
    for name in ("", ".", "deep", "gone.json"):
        with pytest.raises(ApiError, match="no such file"):
            open_file(outside, name)


# --- jobs that end the server ---


@pytest.mark.slow
def test_a_job_that_the_server_does_not_survive_is_not_begun_for_ever(
    tmp_path: Path, connect: Callable[[LocalMilvus], Api]
) -> None:
    """A crash may have come from elsewhere: it is begun once more."""
    running = LocalMilvus(tmp_path).start()
    try:
        connect(running).ok("collections/create", collectionName="c", dimension=2)
        rows = [{"id": i, "vector": [i, 1], "text": "x" * 9000} for i in range(10_000)]
        (running.files / "long.json").write_text(json.dumps(rows))
        (running.files / "short.json").write_text(json.dumps(rows[:10]))
        api = connect(running)
        job = api.ok("jobs/import/create", collectionName="c", files=[["long.json"]])["jobId"]
        waiting = api.ok("jobs/import/create", collectionName="c", files=[["short.json"]])["jobId"]
        for _ in range(2):
            deadline = time.monotonic() + 60
            while api.ok("jobs/import/describe", jobId=job)["state"] == "Pending":
                assert time.monotonic() < deadline
            running.kill()
            running.start()
            api = connect(running)
        told = api.ok("jobs/import/describe", jobId=job)
        assert (told["state"], "the server ended each time" in told["reason"]) == ("Failed", True), told
        # Who waited behind it has not been begun yet.
        assert ended(api, waiting)["state"] == "Completed"
        assert len(rows_of(api, "c")) == 10
    finally:
        running.stop()


@pytest.mark.slow
def test_an_orderly_stop_is_not_held_against_a_job(tmp_path: Path, connect: Callable[[LocalMilvus], Api]) -> None:
    running = LocalMilvus(tmp_path).start()
    try:
        api = connect(running)
        api.ok("collections/create", collectionName="c", dimension=2)
        rows = [{"id": i, "vector": [i, 1], "text": "x" * 9000} for i in range(10_000)]
        (running.files / "long.json").write_text(json.dumps(rows))
        job = api.ok("jobs/import/create", collectionName="c", files=[["long.json"]])["jobId"]
        for _ in range(3):
            deadline = time.monotonic() + 60
            while api.ok("jobs/import/describe", jobId=job)["state"] == "Pending":
                assert time.monotonic() < deadline
            running.stop()
            running.start()
            api = connect(running)
        # It goes on.
        assert api.ok("jobs/import/describe", jobId=job)["state"] in ("Pending", "Importing", "Completed")
    finally:
        running.stop()


def test_a_catalog_of_before_is_read(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "catalog.sqlite", Reserve(tmp_path / "reserve"))
    info = {"id": "7", "collection": "c", "state": "Pending", "files": [{"name": "a.json"}]}
    record = {"info": info, "database": "default", "collection": 1, "partition": "", "files": [], "options": {}}
    catalog._sql.execute("INSERT INTO imports VALUES (7, ?)", (json.dumps(record),))
    catalog.close()
    catalog = Catalog(tmp_path / "catalog.sqlite", Reserve(tmp_path / "reserve"))
    (job,) = catalog.imports()
    assert (job.info.id, job.attempts) == ("7", 0)
    catalog.close()
