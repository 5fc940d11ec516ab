"""What Milvus Lite forgets, kept beside it in SQLite: durable, and the authority on what exists.

Names of indexes and what they were built with, aliases, ids, descriptions, load states, shard counts and so on. All of
it is held in memory (this process is the only one that writes it) and written through, one row per database,
collection or alias, so that a change is kept completely or not at all.
"""

from __future__ import annotations

import dataclasses
import json
import sqlite3
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow_vectordb.local.engine.lite.disk import Reserve
from airflow_vectordb.local.engine.model import CollectionSpec, DatabaseInfo, ImportFile, ImportInfo
from airflow_vectordb.local.errors import ApiError, alias_not_found, collection_not_found, database_not_found, no_space

_FORMAT = 1
_TABLES = """
CREATE TABLE IF NOT EXISTS databases (name TEXT PRIMARY KEY, document TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS collections (id INTEGER PRIMARY KEY, document TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS aliases (database TEXT, alias TEXT, collection TEXT, PRIMARY KEY (database, alias));
CREATE TABLE IF NOT EXISTS imports (id INTEGER PRIMARY KEY, document TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
"""
# Ids are handed out from a block that is written down first, so that none is handed out twice after a crash.
_ID_BLOCK = 1 << 30


@dataclass
class IndexRecord:
    """An index: its name and what it was asked to be built with.

    :param properties: what was set later; no part of what makes it the same index.
    """

    name: str
    field: str
    params: dict[str, str]
    properties: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclass
class CollectionRecord:
    """A collection.

    :param state: ``creating``, ``ready`` or ``dropping``; only a ready one exists for callers.
    :param flushed: the rows at the last flush.
    :param partitions: their names, as of the engine.
    :param flushed_by_partition: the same by partition; one that is missing had none.
    :param loaded_partitions: those that are loaded where not all are; empty where the whole collection is.
    :param truncating: it is being emptied; a start completes that.
    :param new_name: it is being renamed; a start asks the engine how far that came.
    :param copying: a copy of it with another field is being written (``writing``), which a start undoes, or takes its
        place (``swapping``), which a start completes.
    """

    id: int
    database: str
    spec: CollectionSpec
    state: str = "creating"
    loaded: bool = False
    flushed: int = 0
    indexes: dict[str, IndexRecord] = field(default_factory=dict)
    partitions: list[str] = field(default_factory=list)
    flushed_by_partition: dict[str, int] = field(default_factory=dict)
    loaded_partitions: list[str] = field(default_factory=list)
    truncating: bool = False
    new_name: str = ""
    copying: str = ""

    @property
    def name(self) -> str:
        return self.spec.name

    def index_on(self, field_name: str) -> IndexRecord | None:
        return next((index for index in self.indexes.values() if index.field == field_name), None)

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> CollectionRecord:
        indexes = {name: IndexRecord(**entry) for name, entry in document["indexes"].items()}
        return cls(**{**document, "spec": CollectionSpec.from_json(document["spec"]), "indexes": indexes})


@dataclass(frozen=True)
class ImportRecord:
    """An import job.

    :param info: what callers see.
    :param collection: the id of the collection, which may get another name.
    :param deadline: when it has taken too long, in seconds since 1970; None for never.
    :param staged: its rows are kept beside the engine, and may be in it already; a start writes them.
    :param attempts: how often the server has begun to read its files.
    """

    info: ImportInfo
    database: str
    collection: int
    partition: str
    files: list[list[str]]
    options: dict[str, str]
    deadline: float | None = None
    staged: bool = False
    attempts: int = 0

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> ImportRecord:
        files = [ImportFile(**entry) for entry in document["info"]["files"]]
        return cls(**{**document, "info": ImportInfo(**{**document["info"], "files": files})})


class Catalog:
    """The catalog of one data directory.

    :param path: the SQLite file; made when it does not exist.
    :param reserve: what is given up on a full disk, so that the catalog can still be written.
    :param throwaway: the data need not survive a crash of the machine, so no write waits for the disk; a crash of the
        process alone loses nothing either way.
    """

    def __init__(self, path: Path, reserve: Reserve, *, throwaway: bool = False) -> None:
        self._lock = threading.RLock()
        self._reserve = reserve
        self._sql = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        version = self._sql.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, _FORMAT):
            self._sql.close()
            raise ValueError(f"{path} has format {version}; this version reads format {_FORMAT}")
        self._sql.execute("PRAGMA journal_mode=WAL")
        self._sql.execute(f"PRAGMA synchronous={'OFF' if throwaway else 'FULL'}")
        self._sql.executescript(_TABLES)
        if version != _FORMAT:
            self._sql.execute(f"PRAGMA user_version={_FORMAT}")
        self._databases: dict[str, DatabaseInfo] = {}
        self._collections: dict[tuple[str, str], CollectionRecord] = {}
        self._aliases: dict[tuple[str, str], str] = {}
        self._imports: dict[str, ImportRecord] = {}
        self._next_id = self._id_limit = 0
        self._read()

    def _read(self) -> None:
        for (document,) in self._sql.execute("SELECT document FROM databases"):
            database = DatabaseInfo(**json.loads(document))
            self._databases[database.name] = database
        for (document,) in self._sql.execute("SELECT document FROM collections"):
            record = CollectionRecord.from_json(json.loads(document))
            self._collections[record.database, record.name] = record
        for database_name, alias, collection in self._sql.execute("SELECT database, alias, collection FROM aliases"):
            self._aliases[database_name, alias] = collection
        for (document,) in self._sql.execute("SELECT document FROM imports ORDER BY id"):
            job = ImportRecord.from_json(json.loads(document))
            self._imports[job.info.id] = job
        for (value,) in self._sql.execute("SELECT value FROM counters WHERE name = 'ids'"):
            self._next_id = self._id_limit = value
        if "default" not in self._databases:
            self.put_database(DatabaseInfo(self.ids(1)[0], "default", {}))

    def close(self) -> None:
        with self._lock:
            self._sql.close()

    def _write(self, *steps: tuple[str, tuple[Any, ...]]) -> None:
        """Execute statements, all of them or none."""
        try:
            self._execute(steps)
        except sqlite3.OperationalError as error:
            if not _is_full(error):
                raise
            with self._reserve.lent():
                try:
                    self._execute(steps)
                except sqlite3.OperationalError as again:
                    raise (no_space() if _is_full(again) else again) from error

    def _execute(self, steps: tuple[tuple[str, tuple[Any, ...]], ...]) -> None:
        if len(steps) == 1:
            self._sql.execute(*steps[0])
            return
        try:
            self._sql.execute("BEGIN")
            for step in steps:
                self._sql.execute(*step)
            self._sql.execute("COMMIT")
        except sqlite3.Error:
            if self._sql.in_transaction:
                self._sql.execute("ROLLBACK")
            raise

    def ids(self, count: int) -> range:
        """Return new ids, ascending, never returned before; like Milvus's, they are times, shifted left by 18 bits."""
        with self._lock:
            start = max(self._next_id, time.time_ns() // 1_000_000 << 18)
            if start + count > self._id_limit:
                limit = start + count + _ID_BLOCK
                self._write(("INSERT OR REPLACE INTO counters VALUES ('ids', ?)", (limit,)))
                self._id_limit = limit
            self._next_id = start + count
            return range(start, start + count)

    # --- databases ---

    def databases(self) -> list[str]:
        with self._lock:
            return sorted(self._databases, key=lambda name: (name != "default", name))

    def database(self, name: str) -> DatabaseInfo:
        with self._lock:
            try:
                return self._databases[name]
            except KeyError:
                raise database_not_found(name) from None

    def put_database(self, database: DatabaseInfo) -> None:
        with self._lock:
            document = json.dumps(dataclasses.asdict(database))
            self._write(("INSERT OR REPLACE INTO databases VALUES (?, ?)", (database.name, document)))
            self._databases[database.name] = database

    def remove_database(self, name: str) -> None:
        with self._lock:
            self._write(("DELETE FROM databases WHERE name = ?", (name,)))
            del self._databases[name]

    # --- collections ---

    def records(self) -> list[CollectionRecord]:
        """Return every record, unfinished ones included."""
        with self._lock:
            return list(self._collections.values())

    def collections(self, database: str) -> list[CollectionRecord]:
        """Return the collections of a database, by name."""
        with self._lock:
            self.database(database)
            found = [r for (db, _), r in self._collections.items() if db == database and r.state == "ready"]
            return sorted(found, key=lambda record: record.name)

    def resolve(self, database: str, name: str) -> str:
        """Return the name of the collection that a name or alias stands for."""
        with self._lock:
            self.database(database)
            return self._aliases.get((database, name), name)

    def collection(self, database: str, name: str) -> CollectionRecord:
        """Return the collection of that name or alias."""
        with self._lock:
            record = self._collections.get((database, self.resolve(database, name)))
            if record is None or record.state != "ready":
                raise collection_not_found(database, name)
            return record

    def put_collection(self, record: CollectionRecord) -> None:
        """Keep a collection as it is now; where that fails, it becomes again what was kept before."""
        with self._lock:
            try:
                self._write(_kept(record))
            except ApiError:
                self._restore(record)
                raise
            self._collections[record.database, record.name] = record

    def _restore(self, record: CollectionRecord) -> None:
        found = self._sql.execute("SELECT document FROM collections WHERE id = ?", (record.id,))
        for (document,) in found:
            vars(record).update(vars(CollectionRecord.from_json(json.loads(document))))

    def rename_collection(self, record: CollectionRecord) -> None:
        """Give a collection its new name, and its aliases with it, in one step."""
        with self._lock:
            old, new = record.name, record.new_name
            renamed = dataclasses.replace(record, spec=dataclasses.replace(record.spec, name=new), new_name="")
            aliases = self.aliases(record.database, old)
            self._write(_kept(renamed), *(_named(record.database, alias, new) for alias in aliases))
            record.spec, record.new_name = renamed.spec, ""
            self._collections[record.database, new] = self._collections.pop((record.database, old))
            self._aliases.update({(record.database, alias): new for alias in aliases})

    def remove_collection(self, record: CollectionRecord) -> None:
        with self._lock:
            self._write(("DELETE FROM collections WHERE id = ?", (record.id,)))
            self._collections.pop((record.database, record.name), None)

    # --- aliases ---

    def aliases(self, database: str, collection: str = "") -> list[str]:
        """Return the aliases of a collection, or of all collections of a database."""
        with self._lock:
            return sorted(
                alias for (db, alias), target in self._aliases.items() if db == database and collection in ("", target)
            )

    def alias(self, database: str, alias: str) -> str:
        """Return the collection that an alias stands for."""
        with self._lock:
            try:
                return self._aliases[database, alias]
            except KeyError:
                raise alias_not_found(database, alias) from None

    def put_alias(self, database: str, alias: str, collection: str) -> None:
        with self._lock:
            self._write(_named(database, alias, collection))
            self._aliases[database, alias] = collection

    def remove_alias(self, database: str, alias: str) -> None:
        with self._lock:
            self._write(("DELETE FROM aliases WHERE database = ? AND alias = ?", (database, alias)))
            self._aliases.pop((database, alias), None)

    # --- import jobs ---

    def imports(self) -> list[ImportRecord]:
        """Return the import jobs, the oldest first."""
        with self._lock:
            return list(self._imports.values())

    def import_job(self, job: str) -> ImportRecord | None:
        with self._lock:
            return self._imports.get(job)

    def put_import(self, job: ImportRecord) -> None:
        with self._lock:
            document = json.dumps(dataclasses.asdict(job))
            self._write(("INSERT OR REPLACE INTO imports VALUES (?, ?)", (int(job.info.id), document)))
            self._imports[job.info.id] = job

    def note_import(self, job: ImportRecord) -> None:
        """Show how far an import job is, without keeping it: after a crash it begins again."""
        with self._lock:
            self._imports[job.info.id] = job


def _is_full(error: sqlite3.OperationalError) -> bool:
    # The latter when there is no room for the memory that it shares.
    return "is full" in str(error) or "disk I/O error" in str(error)


def _kept(record: CollectionRecord) -> tuple[str, tuple[Any, ...]]:
    return "INSERT OR REPLACE INTO collections VALUES (?, ?)", (record.id, json.dumps(record.to_json()))


def _named(database: str, alias: str, collection: str) -> tuple[str, tuple[Any, ...]]:
    return "INSERT OR REPLACE INTO aliases VALUES (?, ?, ?)", (database, alias, collection)
