"""Everything that this package uses of Milvus Lite's insides; what it uses of its gRPC service is in ``driver``.

Milvus Lite has no public call for closing a collection without a last write, for a log that a crash left behind, or for
another field of a collection that exists. Its modules, attributes and files that serve for that are named here, and
those that are replaced for speed in ``milvus_lite_arrays``. Another version may lack some of them: :data:`NAMES` are
checked when a data directory is opened, the rest by ``tests/local/test_local_internals.py``. Until that passes,
``pyproject.toml`` caps the version.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import importlib.metadata
import json
import logging
import operator
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from airflow_vectordb.local.engine.lite import milvus_lite_arrays as arrays

# First: Milvus Lite would import its messages the slow way.
from airflow_vectordb.local.engine.messages import schema_pb2
from airflow_vectordb.local.errors import invalid, not_here

NAMES = {
    "db": [
        "MilvusLite",
        "MilvusLite.close",
        "MilvusLite.create_snapshot",
        "MilvusLite.drop_snapshot",
        "MilvusLite.has_collection",
    ],
    "adapter.grpc.servicer": ["MilvusServicer"],
    "adapter.grpc.translators.schema": ["milvus_to_milvus_lite_schema"],
    "exceptions": ["DataDirLockedError", "SchemaValidationError"],
    "schema.arrow_builder": ["build_data_schema"],
    "schema.persistence": ["load_schema", "save_schema"],
    "schema.validation": ["validate_schema"],
    "search.filter": ["compile_expr"],
    "search.filter.ast": ["ArithOp", "CmpOp", "FieldRef", "InOp", "LikeOp", "Not", "Or", "PathAccess"],
    "search.filter.eval.python_backend": ["_CMP_OPS"],
    "storage.manifest": ["Manifest", "Manifest.load", "Manifest.save", "Manifest.active_wal_number"],
    **arrays.NAMES,
}
"""What is used, by module of ``milvus_lite``."""

COLLECTION_ATTRIBUTES = [
    *("_bg_closed", "_bg_executor", "_wal._data_sink", "_wal._delta_sink"),
    *arrays.COLLECTION_ATTRIBUTES,
]
"""What is used of an open collection, an entry of ``MilvusLite._collections``."""

_log = logging.getLogger(__name__)

_SCHEMA_FILE = "schema.json"
_WAL = re.compile(r"wal_(?:data|delta)_(\d+)\.arrow")
# The snapshot that holds the files of a collection in place while they are copied.
_SNAPSHOT = "widening"


class DataInUseError(Exception):
    """Another process has the data directory open."""


class MilvusLiteChangedError(ValueError):
    """The installed Milvus Lite is not built as it is expected here."""


def require(owner: Any, path: str, what: str) -> Any:
    """Return an attribute of Milvus Lite's.

    :param path: its name, or several with dots.
    :param what: what it is called in the error.
    :raises MilvusLiteChangedError: when it does not exist.
    """
    try:
        return operator.attrgetter(path)(owner)
    except AttributeError:
        raise _changed(f"{what}.{path}") from None


def _changed(what: str) -> MilvusLiteChangedError:
    version = importlib.metadata.version("milvus-lite")
    adapter = "airflow_vectordb/local/engine/lite/milvus_lite_internals.py"
    return MilvusLiteChangedError(f"milvus-lite {version} has no {what}: {adapter} must be adapted")


def _load() -> SimpleNamespace:
    """Import what is used; it is slow to import."""
    importlib.import_module("milvus_lite")
    found = SimpleNamespace()
    for module, names in NAMES.items():
        try:
            owner = importlib.import_module(f"milvus_lite.{module}")
        except ImportError as error:
            raise _changed(f"module {module} that can be imported") from error
        for name in names:
            value = require(owner, name, module)
            if "." not in name:
                setattr(found, name, value)
    _compare_documents(found)
    arrays.replace_functions(found)
    return found


def _compare_documents(lite: SimpleNamespace) -> None:
    """Have filters compare a whole JSON field as the value that it holds; the engine compares its text."""
    module = importlib.import_module("milvus_lite.search.filter")
    plain = lite.compile_expr
    if hasattr(plain, "__wrapped__"):
        return

    @functools.wraps(plain)
    def compile_expr(expression: Any, schema: Any, source: str = "") -> Any:
        documents = {entry.name for entry in schema.fields if entry.dtype.name == "JSON"}
        return plain(_by_path(lite, expression, documents), schema, source=source)

    vars(module)["compile_expr"] = compile_expr
    lite._CMP_OPS.update({name: _unlike(compare, name == "!=") for name, compare in lite._CMP_OPS.items()})


def _unlike(compare: Callable[[Any, Any], bool], different: bool) -> Callable[[Any, Any], bool]:
    """Return a comparison to which, as to JSON and not to Python, a boolean is no number.

    :param different: what it is of a boolean and something else.
    """

    def compare_values(left: Any, right: Any) -> bool:
        return different if isinstance(left, bool) != isinstance(right, bool) else compare(left, right)

    return compare_values


def _by_path(lite: SimpleNamespace, node: Any, documents: set[str]) -> Any:
    """Return a part of a filter in which whole JSON fields are compared by a path, one of no steps."""
    if isinstance(node, tuple):
        return tuple(_by_path(lite, one, documents) for one in node)
    if not dataclasses.is_dataclass(node) or isinstance(node, type):
        return node
    parts = {part.name: _by_path(lite, getattr(node, part.name), documents) for part in dataclasses.fields(node)}
    if isinstance(node, lite.ArithOp | lite.CmpOp | lite.InOp | lite.LikeOp):
        for name, part in parts.items():
            if isinstance(part, lite.FieldRef) and part.name in documents:
                parts[name] = lite.PathAccess(part, (), part.pos)
    changed = dataclasses.replace(node, **parts)
    if not isinstance(node, lite.InOp) or not isinstance(changed.field, lite.PathAccess):
        return changed
    # The engine fails where the value is a list or an object.
    values = changed.values.elements
    listed = lite.Or(tuple(lite.CmpOp("==", changed.field, value, node.pos) for value in values), node.pos)
    return lite.Not(listed, node.pos) if node.negate else listed


class MilvusLiteInternals:
    """An open Milvus Lite.

    :param directory: its data directory; made when it does not exist.
    :raises DataInUseError: when another process has it open.
    :raises MilvusLiteChangedError: when this Milvus Lite lacks what is used here.
    """

    def __init__(self, directory: Path) -> None:
        self._lite = _load()
        try:
            self._db = self._lite.MilvusLite(os.fspath(directory))
        except self._lite.DataDirLockedError as error:
            raise DataInUseError(os.fspath(directory)) from error
        require(self._db, "_collections", "MilvusLite")
        self.service = self._lite.MilvusServicer(self._db)
        self._directory = directory
        self._recover()

    def close(self) -> None:
        self._db.close()

    def _folder(self, database: str, collection: str) -> Path:
        root = self._directory if database == "default" else self._directory / "databases" / database
        return root / "collections" / collection

    # --- after a crash ---

    def _recover(self) -> None:
        """Bring every collection to a state that can be opened, at whatever moment the process was killed."""
        for folder in self._folders():
            if (folder / _SCHEMA_FILE).exists():
                self._drop_spent_logs(folder)
            else:
                # Its creation or dropping was cut short. Milvus Lite neither lists a folder without a schema nor lets a
                # collection of that name be created again.
                _log.warning("removing the remains of an unfinished collection: %s", folder)
                shutil.rmtree(folder)

    def _folders(self) -> Iterator[Path]:
        for root in [self._directory / "collections", *(self._directory / "databases").glob("*/collections")]:
            for folder in list(root.iterdir()) if root.is_dir() else ():
                if folder.is_dir():
                    yield folder

    def _drop_spent_logs(self, folder: Path) -> None:
        """Remove the write-ahead logs whose rows are already in data files.

        A checkpoint writes rows and deletions to data files, commits them in the manifest together with the number of
        the next log, and only then removes the logs up to there. Killed in between, the engine would replay those logs
        at the next start, and have each of their rows twice, once in a data file and once in memory, with the same
        sequence number; and of several logs a deletion could be gone where the row that it deleted is replayed.
        """
        # Of a manifest that does not load it takes the one before, as the engine does when it opens the collection.
        active = self._lite.Manifest.load(str(folder)).active_wal_number
        for path in folder.glob("wal/wal_*.arrow"):
            number = _WAL.fullmatch(path.name)
            if active is not None and number and int(number[1]) < active:
                _log.warning("removing a log whose rows are in data files: %s", path)
                path.unlink()

    # --- open collections ---

    def let_go(self, database: str, collection: str) -> None:
        """Close a collection without a last write, which fails on a full disk; it is opened again as after a crash."""
        self._close(database, collection)
        folder = self._folder(database, collection)
        if (folder / _SCHEMA_FILE).exists():
            self._drop_spent_logs(folder)

    def remove(self, database: str, collection: str) -> None:
        """Remove a collection, or what exists of it, without a last write."""
        folder = self._folder(database, collection)
        # First what makes it a collection: from here on, the next start removes what is left.
        (folder / _SCHEMA_FILE).unlink(missing_ok=True)
        self._close(database, collection)
        shutil.rmtree(folder, ignore_errors=True)

    def _close(self, database: str, collection: str) -> None:
        instance = self._db._collections.pop((database, collection), None)
        if instance is None:
            return
        instance._bg_closed = True
        instance._bg_executor.shutdown(wait=True)
        for sink in (instance._wal._data_sink, instance._wal._delta_sink):
            if sink is not None:
                # Not the buffer around it, which would first write the rest of what failed.
                sink.raw.close()

    def forget_index_files(self, database: str, collection: str) -> bool:
        """Remove the files of a collection's indexes, which loading builds again, and return whether there were any."""
        folder = self._folder(database, collection)
        paths = list(folder.glob("partitions/*/indexes/*"))
        if paths:
            _log.warning("building the indexes again, as they cannot be loaded: %s", folder)
        for path in paths:
            path.unlink(missing_ok=True)
        return bool(paths)

    # --- a collection with one field more ---

    def write_copy(self, database: str, collection: str, copy: str, schema: schema_pb2.CollectionSchema) -> None:
        """Copy a collection, with one field more, to another of the same database.

        Milvus Lite keeps the fields that a collection was created with. Its files never change, though, and are listed
        in a manifest. So the copy has the same files with one column more, in the same partitions, with the same order
        of writes, the same deletions and the same indexes. The rows are not written again: nothing that the engine does
        to a row on its way in or out is done to them twice. The engine finds the copy once it is complete.

        :param copy: its name.
        :param schema: its schema, the new field being the last.
        :raises ApiError: when the field cannot be added.
        """
        self.forget_copy(database, collection, copy)
        source, target = self._folder(database, collection), self._folder(database, copy)
        # This writes out what is in memory, and waits for what the engine does in the background.
        files = self._db.create_snapshot(collection, _SNAPSHOT, database_name=database)
        try:
            _, wider = self._lite.load_schema(str(source / _SCHEMA_FILE))
            wider.fields.append(self._lite.milvus_to_milvus_lite_schema(schema).fields[-1])
            self._lite.validate_schema(wider)
        except self._lite.SchemaValidationError as error:
            raise invalid(f"the field cannot be added: {error}") from error
        target.mkdir()
        shutil.copy2(source / files["manifest_file"], target / "manifest.json")
        manifest = self._lite.Manifest.load(str(target))
        # There are no logs; those of the copy are counted from the start.
        manifest.active_wal_number = None
        manifest.save()
        for kind in ("data_files", "delta_files", "index_files"):
            for partition, names in files[kind].items():
                for name in names:
                    old, new = (root / "partitions" / partition / name for root in (source, target))
                    new.parent.mkdir(parents=True, exist_ok=True)
                    if kind == "data_files":
                        self._write_wider(old, new, wider)
                    else:
                        shutil.copy2(old, new)
                    _sync(new)
        # Last: the engine does not know a folder without it, and the next start removes such a folder.
        self._lite.save_schema(wider, copy, str(target / _SCHEMA_FILE))

    def forget_copy(self, database: str, collection: str, copy: str) -> None:
        """Remove what exists of a copy, finished or not; the collection stays as it is."""
        folder = self._folder(database, copy)
        if folder.exists():
            # First what makes it a collection, so that no half of one is ever found.
            (folder / _SCHEMA_FILE).unlink(missing_ok=True)
            shutil.rmtree(folder)
        if self._db.has_collection(collection, database_name=database):
            self._db.drop_snapshot(collection, _SNAPSHOT, database_name=database)

    def _write_wider(self, source: Path, target: Path, schema: Any) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        added = schema.fields[-1]
        wanted = self._lite.build_data_schema(schema)
        table = pq.read_table(source)
        if "$meta" in table.column_names:
            _check_dynamic(table.column("$meta"), added.name)
        kind = wanted.field(added.name)
        values = pa.repeat(pa.scalar(added.default_value, kind.type), table.num_rows)
        pq.write_table(table.append_column(kind, values).select(wanted.names), os.fspath(target))


def _sync(path: Path) -> None:
    """Have a file on the disk, before those that it replaces are removed."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _check_dynamic(column: Any, name: str) -> None:
    """Refuse a name that rows have a dynamic value of: the engine would return that rather than the field's."""
    quoted = json.dumps(name)[1:-1]
    for text in column.to_pylist():
        if text and quoted in text and name in json.loads(text):
            raise not_here(f"adding a field ({name}) that rows have a dynamic value of already")
