"""The data directory on a disk: who may read it, and what happens when that is full."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_vectordb.local import LocalMilvus
from airflow_vectordb.local.engine.base import Engine
from airflow_vectordb.local.engine.calls import QueryCall
from airflow_vectordb.local.engine.lite import disk as disk_module
from airflow_vectordb.local.engine.lite import lite_engine
from airflow_vectordb.local.engine.lite.catalog import Catalog, CollectionRecord
from airflow_vectordb.local.engine.lite.disk import Reserve, keep_private
from airflow_vectordb.local.engine.model import CollectionSpec, FieldSpec
from airflow_vectordb.local.engine.rows import encode
from airflow_vectordb.local.errors import ApiError
from tests.support.import_jobs import imported
from tests.support.local_api import Api, Json
from tests.support.serving import serve

pytestmark = pytest.mark.slow  # each starts a server


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(autouse=True)
def same_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


# --- who may read it ---


def test_a_directory_that_was_there_is_its_owners_alone(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    data.chmod(0o2775)
    with LocalMilvus(data) as running:
        assert mode(data) == 0o700
        paths = [data / "catalog.sqlite", *data.glob("catalog.sqlite-*")]
        assert {mode(path) for path in paths} == {0o600}
        running.kill()
    # As versions before have left it.
    data.chmod(0o755)
    for path in paths:
        path.chmod(0o644)
    with LocalMilvus(data) as running:
        assert mode(data) == 0o700
        assert {mode(path) for path in data.glob("catalog.sqlite*")} == {0o600}
        assert "others may read" not in running.log()


def test_a_directory_for_everybody_stays_so_but_what_is_in_it_is_not(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir(mode=0o755)
    tmp_path.chmod(0o1777)
    with LocalMilvus(tmp_path) as running:
        assert mode(tmp_path) == 0o1777
        assert "others may read the directory" in running.log()
        assert {mode(path) for path in tmp_path.iterdir() if path.is_dir()} == {0o700}
        assert {mode(path) for path in tmp_path.iterdir() if path.is_file()} == {0o600}


def test_a_directory_that_cannot_be_changed_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(self: Path, wanted: int) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    tmp_path.chmod(0o750)
    monkeypatch.setattr(Path, "chmod", refuse)
    keep_private(tmp_path)
    assert "others may read the directory" in caplog.text


def test_a_link_to_other_files_leaves_them_as_they_are(tmp_path: Path) -> None:
    elsewhere, data = tmp_path / "elsewhere", tmp_path / "data"
    elsewhere.mkdir(mode=0o755)
    data.mkdir()
    (data / "files").symlink_to(elsewhere)
    data.chmod(0o1777)
    keep_private(data)
    assert mode(elsewhere) == 0o755


# --- a full disk, as a test can have it ---


class Disk:
    """A small disk of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data = path / "data"

    def fill(self) -> None:
        with (self.path / "filler").open("ab", buffering=0) as file:
            for size in (4096, 512, 1):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError:
                    pass

    def empty(self) -> None:
        (self.path / "filler").unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    path = tmp_path / "disk"
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(path)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no disk can be mounted here")
    yield Disk(path)
    subprocess.run(["umount", str(path)], check=True)


def rows(start: int, count: int, dimension: int = 64) -> list[Json]:
    return [{"id": start + i, "vector": [float(i)] * dimension} for i in range(count)]


def count(api: Api, collection: str) -> int:
    (found,) = api.ok("entities/query", collectionName=collection, outputFields=["count(*)"])
    counted: int = found["count(*)"]
    return counted


def test_on_a_full_disk_it_starts_and_things_can_be_dropped(disk: Disk, connect: Callable[[LocalMilvus], Api]) -> None:
    running = LocalMilvus(disk.data).start()
    try:
        api = connect(running)
        api.ok("databases/create", dbName="side")
        for name in ("kept", "written", "flushed", "loaded"):
            api.ok("collections/create", collectionName=name, dimension=64)
            api.ok("entities/insert", collectionName=name, data=rows(0, 500))
        api.ok("collections/flush", collectionName="flushed")
        api.ok("collections/release", collectionName="flushed")
        api.ok("aliases/create", collectionName="kept", aliasName="alias")
        for end in (running.kill, running.stop):
            disk.fill()
            code, message = api.fails("entities/insert", collectionName="written", data=rows(500, 500))
            assert (code, "no space left" in message) == (7, True)
            assert api.fails("collections/flush", collectionName="written")[0] == 7
            assert api.fails("collections/create", collectionName="new", dimension=4)[0] == 7
            end()
            disk.fill()
            running.start()
            api = connect(running)
            assert "Traceback" not in running.log()
            assert {name: count(api, name) for name in ("kept", "written", "loaded")} == dict.fromkeys(
                ("kept", "written", "loaded"), 500
            )
        disk.fill()
        api.ok("aliases/drop", aliasName="alias")
        api.ok("databases/drop", dbName="side")
        api.ok("indexes/drop", collectionName="flushed", indexName="vector")
        for name in ("written", "flushed"):
            disk.fill()
            api.ok("collections/drop", collectionName=name)
        assert api.ok("collections/list") == ["kept", "loaded"]
        disk.empty()
        # As if nothing had been.
        api.ok("collections/create", collectionName="new", dimension=4)
        api.ok("collections/create", collectionName="written", dimension=64)
        api.ok("entities/insert", collectionName="kept", data=rows(500, 500))
        for end in (running.kill, running.stop):
            end()
            running.start()
            api = connect(running)
            assert (count(api, "kept"), count(api, "loaded"), count(api, "written")) == (1000, 500, 0)
            assert api.ok("aliases/list") == []
    finally:
        running.stop()


def test_what_a_full_disk_cuts_short_costs_no_acknowledged_row(
    disk: Disk, connect: Callable[[LocalMilvus], Api]
) -> None:
    running = LocalMilvus(disk.data).start()
    try:
        api = connect(running)
        api.ok("collections/create", collectionName="c", dimension=64)
        acknowledged = 0

        def insert() -> bool:
            nonlocal acknowledged
            body = {"collectionName": "c", "data": rows(acknowledged * 10, 50)}
            # Under keys of its own, whether it works or not.
            code = api.post("entities/insert", body).json()["code"]
            acknowledged += 50 if code == 0 else 0
            return bool(code == 0)

        assert insert()
        for _ in range(4):
            disk.fill()
            while insert():
                pass
            api.post("collections/flush", {"collectionName": "c"})
            api.post("entities/delete", {"collectionName": "c", "filter": "id < 0"})
            assert count(api, "c") == acknowledged
            disk.empty()
            assert insert()
            assert count(api, "c") == acknowledged
            running.kill()
            running.start()
            api = connect(running)
            assert count(api, "c") == acknowledged
    finally:
        running.stop()


def test_an_import_on_a_full_disk_fails_and_leaves_room(disk: Disk, connect: Callable[[LocalMilvus], Api]) -> None:
    with LocalMilvus(disk.data) as running:
        api = connect(running)
        api.ok("collections/create", collectionName="c", dimension=64)
        (running.files / "rows.json").write_text(str(rows(0, 2000)).replace("'", '"'))
        disk.fill()
        told = imported(api, "c", ["rows.json"])
        assert (told["state"], "o space left" in told["reason"]) == ("Failed", True), told["reason"]
        assert list((disk.data / "imports").iterdir()) == []
        assert count(api, "c") == 0
        disk.empty()
        assert imported(api, "c", ["rows.json"])["state"] == "Completed"
        assert count(api, "c") == 2000
        assert "Traceback" not in running.log()


def test_a_full_disk_without_a_reserve_is_said(disk: Disk) -> None:
    disk.fill()
    with serve("--data", str(disk.data), "--port", "0") as process:
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, "Traceback" in errors) == (1, False), errors
    assert "cannot open the data directory" in errors


# --- a full disk, wherever ---

SPEC = CollectionSpec(
    "c", [FieldSpec("id", "Int64", is_primary=True), FieldSpec("vector", "FloatVector", params={"dim": "2"})]
)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    opened = lite_engine(tmp_path / "data")
    opened.collections.create("default", SPEC)
    opened.indexes.create("default", "c", "vector", "", {"index_type": "FLAT", "metric_type": "L2"})
    opened.loading.load("default", "c")
    yield opened
    opened.close(5)


def insert(engine: Engine, start: int, count: int) -> None:
    columns = encode(SPEC, rows(start, count, 2), with_ids=False)
    engine.entities.insert("default", "c", "", columns, count)


def counted(engine: Engine) -> int:
    (column,) = engine.entities.query("default", "c", QueryCall("", ["count(*)"]))
    (found,) = column.scalars.long_data.data
    return int(found)


@pytest.mark.parametrize("cause", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_log_that_was_cut_is_written_to_no_more(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cause: int
) -> None:
    from milvus_lite.storage.wal import WAL

    insert(engine, 0, 10)
    write = WAL.write_insert

    def cut(self: Any, batch: Any) -> None:
        write(self, batch)
        path = self.data_path
        os.truncate(path, os.path.getsize(path) - 100)
        raise OSError(cause, os.strerror(cause))

    with monkeypatch.context() as patch:
        patch.setattr(WAL, "write_insert", cut)
        with pytest.raises(ApiError) as refused:
            insert(engine, 100, 10)
    assert refused.value.code == (65535 if cause == errno.EIO else 7)
    assert counted(engine) == 10
    insert(engine, 200, 10)
    assert counted(engine) == 20
    # As the next start finds it.
    store = engine.collections._store  # type: ignore[attr-defined]
    store.driver.let_go(store.catalog.collection("default", "c"))
    engine.loading.load("default", "c")
    assert counted(engine) == 20


# The engine forgets to close the log that it could not write out.
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_a_flush_that_fails_loses_nothing(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    from milvus_lite.storage.manifest import Manifest

    def fail(self: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    insert(engine, 0, 10)
    with monkeypatch.context() as patch:
        patch.setattr(Manifest, "save", fail)
        with pytest.raises(ApiError, match="no space left"):
            engine.segments.flush("default", "c")
        assert counted(engine) == 10
        engine.collections.drop("default", "c")
    assert engine.collections.names("default") == []
    engine.collections.create("default", SPEC)


def full(catalog: Catalog) -> Callable[[], object]:
    """Have a catalog's file not grow, and give what ends that."""
    (pages,) = catalog._sql.execute("PRAGMA page_count").fetchone()
    catalog._sql.execute(f"PRAGMA max_page_count={pages}")
    return lambda: catalog._sql.execute("PRAGMA max_page_count=100000")


def test_what_the_catalog_cannot_keep_has_not_happened(engine: Engine) -> None:
    catalog = engine.collections._store.catalog  # type: ignore[attr-defined]
    relieve = full(catalog)
    wide = {"k" * 3000: "v" * 3000}
    refusals: list[Callable[[], None]] = [
        lambda: engine.databases.create("side", wide),
        lambda: engine.collections.alter("default", "c", wide, []),
        lambda: engine.collections.create("default", CollectionSpec("d", SPEC.fields, properties=wide)),
    ]
    for refused in refusals:
        with pytest.raises(ApiError, match="no space left"):
            refused()
    assert engine.databases.names() == ["default"]
    assert engine.collections.names("default") == ["c"]
    assert engine.collections.describe("default", "c").spec.properties == {}
    relieve()
    engine.collections.create("default", CollectionSpec("d", SPEC.fields, properties=wide))
    engine.collections.alter("default", "c", wide, [])
    assert engine.collections.describe("default", "c").spec.properties == wide


def test_a_renaming_is_kept_whole_or_not_at_all(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "catalog.sqlite", Reserve(tmp_path / "reserve"))
    record = CollectionRecord(1, "default", SPEC, "ready")
    catalog.put_collection(record)
    for i in range(3):
        catalog.put_alias("default", f"a{i}", "c")
    record.new_name = "d" * 200
    catalog.put_collection(record)
    fail = "CREATE TRIGGER t BEFORE INSERT ON aliases WHEN NEW.alias = 'a2' BEGIN SELECT RAISE(FAIL, 'x'); END"
    catalog._sql.execute(fail)
    with pytest.raises(sqlite3.Error):
        catalog.rename_collection(record)
    assert (record.name, catalog.aliases("default", "c")) == ("c", ["a0", "a1", "a2"])
    catalog._sql.execute("DROP TRIGGER t")
    catalog.rename_collection(record)
    catalog.close()
    catalog = Catalog(tmp_path / "catalog.sqlite", Reserve(tmp_path / "reserve"))
    assert [found.name for found in catalog.collections("default")] == ["d" * 200]
    assert catalog.aliases("default", "d" * 200) == ["a0", "a1", "a2"]
    catalog.close()


def test_the_reserve_takes_what_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reserve = Reserve(tmp_path / "reserve", 1024 * 1024)
    with reserve.lent():
        assert list(tmp_path.iterdir()) == []
    assert (tmp_path / "reserve").stat().st_size == 1024 * 1024
    allocate = disk_module._allocate

    def full_beyond(descriptor: int, size: int) -> None:
        if size > 300_000:
            raise OSError(errno.ENOSPC, "full")
        allocate(descriptor, size)

    monkeypatch.setattr(disk_module, "_allocate", full_beyond)
    with reserve.lent():
        pass
    assert 200_000 < (tmp_path / "reserve").stat().st_size <= 300_000
    with Reserve(tmp_path / "none", 0).lent():
        pass
    assert not (tmp_path / "none").exists()
