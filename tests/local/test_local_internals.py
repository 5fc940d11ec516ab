"""Milvus Lite is built as ``milvus_lite_internals`` expects; when a new version is not, this says what to adapt."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from airflow_vectordb.local.engine.base import Engine
from airflow_vectordb.local.engine.lite import DataInUseError, MilvusLiteChangedError, lite_engine
from airflow_vectordb.local.engine.lite.milvus_lite_internals import (
    COLLECTION_ATTRIBUTES,
    NAMES,
    MilvusLiteInternals,
    require,
)
from airflow_vectordb.local.engine.model import CollectionSpec, FieldSpec
from airflow_vectordb.local.engine.rows import encode

SPEC = CollectionSpec(
    "c", [FieldSpec("id", "Int64", is_primary=True), FieldSpec("vector", "FloatVector", params={"dim": "2"})]
)
ADAPT = "must be adapted"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def engine(data: Path) -> Iterator[Engine]:
    opened = lite_engine(data)
    opened.collections.create("default", SPEC)
    opened.indexes.create("default", "c", "vector", "", {"index_type": "HNSW", "metric_type": "L2"})
    yield opened
    opened.close(5)


def insert(engine: Engine, *keys: int) -> None:
    rows = [{"id": key, "vector": [float(key), 1.0]} for key in keys]
    engine.entities.insert("default", "c", "", encode(SPEC, rows, with_ids=False), len(rows))


@pytest.mark.parametrize(("module", "name"), [(module, name) for module, names in NAMES.items() for name in names])
def test_a_name_that_is_gone_is_reported_when_a_directory_is_opened(
    module: str, name: str, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = importlib.import_module(f"milvus_lite.{module}")
    *path, last = name.split(".")
    for part in path:
        owner = getattr(owner, part)
    monkeypatch.delattr(owner, last)
    wanted = f"milvus-lite {version('milvus-lite')} has no {module}.{name}: airflow_vectordb/local/engine/lite/"
    with pytest.raises(MilvusLiteChangedError, match=f"{re.escape(wanted)}.* {ADAPT}"):
        MilvusLiteInternals(data)


def test_a_module_that_is_gone_is_reported(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NAMES, "storage.gone", [])
    with pytest.raises(MilvusLiteChangedError, match=f"no module storage.gone that can be imported: .* {ADAPT}"):
        MilvusLiteInternals(data)


def test_an_open_collection_has_the_attributes_that_are_used(engine: Engine) -> None:
    insert(engine, 1)
    engine.entities.delete("default", "c", "", "id in [1]")
    internals = engine.collections._store.driver._internals  # type: ignore[attr-defined]
    opened = internals._db._collections
    assert ("default", "c") in opened, f"collections are not kept by database and name: {ADAPT}"
    for path in COLLECTION_ATTRIBUTES:
        require(opened["default", "c"], path, "Collection")
    for sink in ("_data_sink", "_delta_sink"):
        assert require(opened["default", "c"]._wal, f"{sink}.raw", "WAL") is not None


def test_files_are_where_they_are_expected(engine: Engine, data: Path) -> None:
    insert(engine, 1, 2)
    engine.entities.delete("default", "c", "", "id in [1]")
    folder = data / "engine" / "collections" / "c"
    found = {path.name for path in (folder / "wal").iterdir()}
    assert all(re.fullmatch(r"wal_(data|delta)_\d+\.arrow", name) for name in found), f"{found}: {ADAPT}"
    assert len(found) == 2
    engine.segments.flush("default", "c")
    for pattern in ("schema.json", "manifest.json", "partitions/_default/indexes/*"):
        assert list(folder.glob(pattern)), f"milvus-lite has no {pattern} of a collection: {ADAPT}"
    engine.databases.create("side", {})
    engine.collections.create("side", SPEC)
    assert (data / "engine" / "databases" / "side" / "collections" / "c" / "schema.json").exists(), ADAPT


def test_a_directory_takes_one_engine(engine: Engine, data: Path) -> None:
    with pytest.raises(DataInUseError):
        MilvusLiteInternals(data / "engine")
