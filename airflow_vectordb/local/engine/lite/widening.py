"""A copy of a collection that has one field more, file by file.

Milvus Lite keeps the fields that a collection was created with. What it has of a collection are files that it never
changes, though, and lists of them; so the copy is the same files with one column more, in the same partitions, with the
same order of writes, the same deletions and the same indexes. The rows are not written anew: nothing that the engine
would do to a row on its way in or out is done to them again.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from airflow_vectordb.local.engine.lite.folders import SCHEMA_FILE
from airflow_vectordb.local.errors import invalid, not_here

__all__ = ["forget_copy", "write_copy"]

# Holds the files of the collection in place while they are read.
_PIN = "widening"


def write_copy(db: Any, database: str, collection: str, folder: Path, copy: Path, schema: Any) -> None:
    """Write the copy; the engine finds it under the name of its folder once all of it is there.

    :param db: the open Milvus Lite.
    :param folder: where the engine keeps the collection.
    :param copy: where the copy goes, beside it.
    :param schema: the ``CollectionSchema`` message of the copy, the new field being its last.
    :raises ApiError: when the field cannot be added.
    """
    from milvus_lite.adapter.grpc.translators.schema import milvus_to_milvus_lite_schema
    from milvus_lite.exceptions import SchemaValidationError
    from milvus_lite.schema.persistence import load_schema, save_schema
    from milvus_lite.schema.validation import validate_schema
    from milvus_lite.storage.manifest import Manifest

    forget_copy(db, database, collection, copy)
    # This writes out what is in memory, and waits for what the engine does in the background.
    files = db.create_snapshot(collection, _PIN, database_name=database)
    try:
        _, wider = load_schema(str(folder / SCHEMA_FILE))
        wider.fields.append(milvus_to_milvus_lite_schema(schema).fields[-1])
        validate_schema(wider)
    except SchemaValidationError as error:
        raise invalid(f"the field cannot be added: {error}") from error
    copy.mkdir()
    shutil.copy2(folder / files["manifest_file"], copy / "manifest.json")
    manifest = Manifest.load(str(copy))
    # There are no logs; those of the copy are counted from the start.
    manifest.active_wal_number = None
    manifest.save()
    for kind in ("data_files", "delta_files", "index_files"):
        for partition, names in files[kind].items():
            for name in names:
                source, target = (root / "partitions" / partition / name for root in (folder, copy))
                target.parent.mkdir(parents=True, exist_ok=True)
                if kind == "data_files":
                    _write_wider(source, target, wider)
                else:
                    shutil.copy2(source, target)
                _force(target)
    # Last: a folder without it is none to the engine, and is removed at the next start.
    save_schema(wider, copy.name, str(copy / SCHEMA_FILE))


def forget_copy(db: Any, database: str, collection: str, copy: Path) -> None:
    """Remove what there is of a copy, finished or not; the collection stays as it is."""
    if copy.exists():
        # First what makes it a collection, so that no half of one is ever found.
        (copy / SCHEMA_FILE).unlink(missing_ok=True)
        shutil.rmtree(copy)
    if db.has_collection(collection, database_name=database):
        db.drop_snapshot(collection, _PIN, database_name=database)


def _force(path: Path) -> None:
    """Have a file on the disk, before those that it replaces are removed."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _write_wider(source: Path, target: Path, schema: Any) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from milvus_lite.schema.arrow_builder import build_data_schema

    added = schema.fields[-1]
    wanted = build_data_schema(schema)
    table = pq.read_table(source)
    if "$meta" in table.column_names:
        _check_dynamic(table.column("$meta"), added.name)
    kind = wanted.field(added.name)
    values = pa.repeat(pa.scalar(added.default_value, kind.type), table.num_rows)
    pq.write_table(table.append_column(kind, values).select(wanted.names), os.fspath(target))


def _check_dynamic(column: Any, name: str) -> None:
    """Refuse a name that rows have a dynamic value of: the engine would give that in place of the field's."""
    quoted = json.dumps(name)[1:-1]
    for text in column.to_pylist():
        if text and quoted in text and name in json.loads(text):
            raise not_here(f"adding a field ({name}) that rows have a dynamic value of already")
