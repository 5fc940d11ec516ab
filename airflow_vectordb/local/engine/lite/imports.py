"""Import jobs over Milvus Lite: files of a folder beside the engine, read and written by a thread of their own.

The rows of a job appear when it is completed, all of them at one moment, and never twice. They are read and checked
first; then kept, with the ids that the server made, in a file of the job; then, while the collection is locked, written
to the engine. A start that finds that file writes its content again before any caller is served: over the same rows, if
they were written already. A start that finds no such file has the job begin again.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import queue
import re
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pendulum

from airflow_vectordb.local.engine.lite.catalog import CollectionRecord, ImportRecord
from airflow_vectordb.local.engine.lite.entities import Entities
from airflow_vectordb.local.engine.lite.import_files import check_files, open_file, read_group
from airflow_vectordb.local.engine.lite.import_parquet import MOST_BYTES, MOST_ROWS
from airflow_vectordb.local.engine.lite.segments import Segments
from airflow_vectordb.local.engine.lite.store import Store, check_partitions
from airflow_vectordb.local.engine.messages import milvus_pb2
from airflow_vectordb.local.engine.model import CollectionSpec, ImportFile, ImportInfo
from airflow_vectordb.local.engine.rows import encode
from airflow_vectordb.local.errors import ApiError, import_failed, import_not_found, not_here

_log = logging.getLogger(__name__)

# How often a job is begun. One crash may have nothing to do with it, a second one is blamed on it.
_MOST_ATTEMPTS = 2
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h))+")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_READ, _WRITTEN = 10, 70


class Imports:
    """Import jobs, one after the other, as they came.

    :param directory: the data directory; the files are in its folder ``files``.
    """

    def __init__(self, store: Store, entities: Entities, segments: Segments, directory: Path) -> None:
        self._store = store
        self._catalog = store.catalog
        self._entities = entities
        self._segments = segments
        self._files = directory / "files"
        # Where the rows of jobs are kept until they are in the engine for good.
        self._stages = directory / "imports"
        self._waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._worker = threading.Thread(target=self._work_off, name="imports", daemon=True)
        self._stopping = False

    def create(
        self, database: str, collection: str, partition: str, files: list[list[str]], options: dict[str, str]
    ) -> str:
        record = self._catalog.collection(database, collection)
        check_partitions(record, [partition] if partition else [])
        for name in ("backup", "l0_import"):
            if options.get(name, "").lower() == "true":
                raise not_here(f"an import of a backup ({name})")
        check_files(self._files, files)
        timeout = _seconds(options["timeout"]) if "timeout" in options else None
        deadline = None if timeout is None else time.time() + timeout
        number = str(self._catalog.ids(1)[0])
        shown = [ImportFile(",".join(group)) for group in files]
        info = ImportInfo(number, record.name, "Pending", files=shown)
        self._catalog.put_import(ImportRecord(info, database, record.id, partition, files, options, deadline))
        self._waiting.put(number)
        return number

    def describe(self, job: str) -> ImportInfo:
        found = self._catalog.import_job(job)
        if found is None:
            raise import_not_found(job)
        return self._shown(found)

    def jobs(self, database: str, collection: str) -> list[ImportInfo]:
        number = self._catalog.collection(database, collection).id if collection else None
        return [
            self._shown(job)
            for job in self._catalog.imports()
            if job.database == database and number in (None, job.collection)
        ]

    def _shown(self, job: ImportRecord) -> ImportInfo:
        record = self._collection_of(job)
        return job.info if record is None else dataclasses.replace(job.info, collection=record.name)

    # --- the thread ---

    def start(self) -> None:
        """Go on with the jobs that are left."""
        self._files.mkdir(exist_ok=True)
        for job in self._catalog.imports():
            if job.attempts >= _MOST_ATTEMPTS and job.info.state == "Importing":
                self._fail(job.info.id, "the server ended each time that it read the files: importing data failed")
            elif job.info.state in ("Pending", "Importing"):
                self._waiting.put(job.info.id)
        self._worker.start()

    def stop(self, timeout: float) -> None:
        """Let no other job begin to write; the next start goes on with what is left.

        :param timeout: seconds to wait for the one that is at work.
        """
        self._stopping = True
        self._waiting.put("")
        self._worker.join(timeout)

    def _work_off(self) -> None:
        while number := self._waiting.get():
            job = self._catalog.import_job(number)
            if job is None or self._stopping:
                continue
            try:
                self._run(job)
            except ApiError as error:
                self._fail(number, error.message)
            except MemoryError:
                self._fail(number, "there is not enough memory: importing data failed")
            except OSError as error:
                self._fail(number, f"{error.strerror}: importing data failed")
            except Exception:  # noqa: BLE001 - the next job must get its turn; the log learns why
                self._log_and_fail(number)

    def _log_and_fail(self, number: str) -> None:
        # At the end the catalog is closed under it.
        if not self._stopping:
            _log.exception("import job %s failed", number)
            self._fail(number, "internal error, see the log of the local server")

    def _run(self, job: ImportRecord) -> None:
        job = _changed(
            job, state="Importing", files=[dataclasses.replace(one, state="Importing") for one in job.info.files]
        )
        job = dataclasses.replace(job, attempts=job.attempts + 1)
        self._catalog.put_import(job)
        sizes = [sum(self._size(name) for name in group) for group in job.files]
        if sum(sizes) > MOST_BYTES:
            raise import_failed(
                f"the files have {sum(sizes)} bytes, and this local server takes {MOST_BYTES} in one job"
            )
        files = [dataclasses.replace(one, size=size) for one, size in zip(job.info.files, sizes, strict=True)]
        job = _changed(job, size=sum(sizes), files=files)
        while True:
            record = self._collection_of(job)
            if record is None:
                raise import_failed(f"collection {job.info.collection} was dropped")
            spec = record.spec
            job, columns = self._read(job, spec)
            if self._stopping:
                # The next start begins again, and this was no crash.
                self._catalog.put_import(dataclasses.replace(job, attempts=job.attempts - 1))
                return
            with self._store.locks.exclusive((record.database, record.name)):
                # While the files were read, it may have been dropped, or got another name or field.
                if self._collection_of(job) is record and record.spec is spec:
                    if not self._stopping:
                        with self._store.reopening(record):
                            self._write_rows(job, record, columns)
                    return

    def _size(self, name: str) -> int:
        with open_file(self._files, name) as file:
            return os.fstat(file.fileno()).st_size

    def _read(self, job: ImportRecord, spec: CollectionSpec) -> tuple[ImportRecord, list[Any]]:
        """All rows of all files as columns, and the job as it is then."""
        columns: list[Any] = []
        files = list(job.info.files)
        rows = size = 0
        for i, group in enumerate(job.files):
            found = 0
            with ExitStack() as stack:
                opened = [stack.enter_context(open_file(self._files, name)) for name in group]
                for piece in read_group(spec, group, opened, job.options):
                    if self._stopping:
                        return job, []
                    _check_deadline(job)
                    if not piece:  # the file has no rows, or as many as fill its pieces
                        continue
                    found += len(piece)
                    size += _add(columns, encode(spec, piece, with_ids=False))
                    if rows + found > MOST_ROWS or size > MOST_BYTES:
                        raise import_failed(
                            f"the files have more rows than this local server takes in one job, which are {MOST_ROWS}, "
                            f"or {MOST_BYTES} bytes of them"
                        )
            rows += found
            files[i] = dataclasses.replace(files[i], total=found, progress=_WRITTEN)
            done = _READ + (_WRITTEN - _READ) * (i + 1) // len(job.files)
            job = _changed(job, total=rows, progress=done, files=list(files))
            self._catalog.note_import(job)
        return job, columns

    # --- writing ---

    def _write_rows(self, job: ImportRecord, record: CollectionRecord, columns: list[Any]) -> None:
        _check_deadline(job)
        count = job.info.total
        if count:
            request = self._entities.insert_request(record, job.partition, columns, count)
            _keep(self._stage(job), request.SerializeToString())
            job = dataclasses.replace(job, staged=True)
            self._catalog.put_import(job)
            self._entities.write(record, "Insert", request)
            self._seal(record)
        self._complete(job)

    def _seal(self, record: CollectionRecord) -> None:
        """Seal the rows, as Milvus does with imported ones."""
        try:
            with self._store.reopening(record):
                self._segments.seal(record)
        except ApiError as error:
            # They can be read nevertheless.
            _log.warning("imported rows are not sealed: %s", error.message)

    def _complete(self, job: ImportRecord) -> None:
        now = _now()
        files = [
            dataclasses.replace(one, state="Completed", progress=100, imported=one.total, completed=now)
            for one in job.info.files
        ]
        job = _changed(job, state="Completed", progress=100, imported=job.info.total, completed=now, files=files)
        self._catalog.put_import(dataclasses.replace(job, staged=False))
        self._stage(job).unlink(missing_ok=True)

    def _fail(self, number: str, reason: str) -> None:
        job = self._catalog.import_job(number)
        if job is None or self._stopping:
            return
        files = [dataclasses.replace(one, state="Failed", progress=0, reason=reason) for one in job.info.files]
        job = _changed(job, state="Failed", progress=0, reason=reason, files=files)
        job = dataclasses.replace(job, staged=False)
        # It takes up the disk, and a full one may be why.
        self._stage(job).unlink(missing_ok=True)
        try:
            self._catalog.put_import(job)
        except ApiError as error:
            _log.warning("that import job %s failed is not kept: %s", number, error.message)
            self._catalog.note_import(job)

    def recover(self) -> None:
        """Write the rows of the job that a crash interrupted; nothing else was written to the collection since."""
        for job in self._catalog.imports():
            record = self._collection_of(job)
            if not job.staged or record is None:
                continue
            try:
                request = milvus_pb2.InsertRequest.FromString(self._stage(job).read_bytes())
                with self._store.reopening(record):
                    self._entities.write(record, "Insert", request)
            except (OSError, ApiError) as error:
                # The server must start; the reason says what cannot be known.
                self._fail(job.info.id, f"rows were not written for certain: {error}: importing data failed")
                continue
            self._seal(record)
            self._complete(job)
        # A crash may have come before one was removed, or before the catalog knew of it.
        for path in self._stages.glob("*"):
            path.unlink()

    # --- where things are ---

    def _collection_of(self, job: ImportRecord) -> CollectionRecord | None:
        there = (record for record in self._catalog.records() if record.id == job.collection)
        return next((record for record in there if record.state == "ready"), None)

    def _stage(self, job: ImportRecord) -> Path:
        return self._stages / job.info.id


def _changed(job: ImportRecord, **changes: Any) -> ImportRecord:
    return dataclasses.replace(job, info=dataclasses.replace(job.info, **changes))


def _check_deadline(job: ImportRecord) -> None:
    if job.deadline is not None and time.time() > job.deadline:
        raise import_failed(f"import timeout, timeout={job.options['timeout']}")


def _add(columns: list[Any], more: list[Any]) -> int:
    """Add values to columns, and return how many bytes they have."""
    if not columns:
        columns += more
    else:
        for column, added in zip(columns, more, strict=True):
            # Repeated values are appended, and no field has others.
            column.MergeFrom(added)
    return sum(column.ByteSize() for column in more)


def _keep(path: Path, content: bytes) -> None:
    """Write a file completely or not at all."""
    path.parent.mkdir(exist_ok=True)
    partial = path.with_suffix(".partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        # On a full disk it would take what is left.
        partial.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _seconds(text: str) -> float:
    """How long a duration of Go is, ``1h30m`` for instance."""
    if not _DURATION.fullmatch(text):
        raise import_failed(f'parse timeout failed, err=time: invalid duration "{text}"')
    return sum(float(number) * _SECONDS[unit] for number, unit in re.findall(r"([\d.]+)(ms|s|m|h)", text))


def _now() -> str:
    return pendulum.now("UTC").replace(microsecond=0).to_iso8601_string()
