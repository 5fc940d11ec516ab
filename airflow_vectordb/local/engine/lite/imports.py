"""Import jobs over Milvus Lite: files of a folder beside the engine, read and written by a thread of their own.

Rows of a job are there once it is completed, all of them at one moment, and never twice. They are read and checked
first; then kept, with the ids that the server made, in a file of the job; then, while nobody else gets at the
collection, written to the engine. A start that finds that file writes what is in it again, before anybody else is
served: over the same rows, if they were written already. One that finds no such file has the job begin anew.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import queue
import re
import threading
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from airflow_vectordb.local.engine.lite.catalog import CollectionRecord, ImportRecord
from airflow_vectordb.local.engine.lite.collections import Collections
from airflow_vectordb.local.engine.lite.entities import Entities
from airflow_vectordb.local.engine.lite.import_files import check_files, import_failed, locate, read_group
from airflow_vectordb.local.engine.messages import milvus_pb2
from airflow_vectordb.local.engine.model import CollectionSpec, ImportFile, ImportInfo
from airflow_vectordb.local.engine.rows import encode
from airflow_vectordb.local.errors import ApiError, not_here

__all__ = ["Imports"]

_log = logging.getLogger(__name__)

# They are held in memory, several times over.
_MOST_BYTES = 512 * 1024 * 1024
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h))+")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_READ, _WRITTEN = 10, 70


class Imports(Entities, Collections):
    """Import jobs, one after the other, as they came."""

    _waiting: queue.SimpleQueue[str]
    _stopping = False

    def create_import(
        self, database: str, collection: str, partition: str, files: list[list[str]], options: dict[str, str]
    ) -> str:
        record = self._catalog.collection(database, collection)
        self._check_partitions(record, [partition] if partition else [])
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

    def import_job(self, database: str, job: str) -> ImportInfo:
        self._catalog.database(database)
        found = self._catalog.import_job(job)
        if found is None:
            raise import_failed(f"import job does not exist, jobID={job}")
        return self._told(found)

    def import_jobs(self, database: str, collection: str) -> list[ImportInfo]:
        self._catalog.database(database)
        number = self._catalog.collection(database, collection).id if collection else None
        return [
            self._told(job)
            for job in self._catalog.imports()
            if job.database == database and number in (None, job.collection)
        ]

    def _told(self, job: ImportRecord) -> ImportInfo:
        record = self._collection_of(job)
        return job.info if record is None else dataclasses.replace(job.info, collection=record.name)

    # --- the thread ---

    @property
    def _files(self) -> Path:
        return self._directory / "files"

    def _start_imports(self) -> None:
        self._files.mkdir(exist_ok=True)
        self._waiting = queue.SimpleQueue()
        for job in self._catalog.imports():
            if job.info.state in ("Pending", "Importing"):
                self._waiting.put(job.info.id)
        threading.Thread(target=self._work_off, name="imports", daemon=True).start()

    def _stop_imports(self) -> None:
        """Have no job begin to write any more; the next start goes on with what is left."""
        self._stopping = True
        self._waiting.put("")

    def _work_off(self) -> None:
        while number := self._waiting.get():
            job = self._catalog.import_job(number)
            if job is None or self._stopping:
                continue
            try:
                self._run(job)
            except ApiError as error:
                self._fail(number, error.message)
            except Exception:  # noqa: BLE001 - the next job must get its turn; the log learns why
                _log.exception("import job %s failed", number)
                self._fail(number, "internal error, see the log of the local server")

    def _run(self, job: ImportRecord) -> None:
        job = _changed(
            job, state="Importing", files=[dataclasses.replace(one, state="Importing") for one in job.info.files]
        )
        self._catalog.put_import(job)
        paths = [self._paths(group) for group in job.files]
        sizes = [sum(path.stat().st_size for path in group) for group in paths]
        if sum(sizes) > _MOST_BYTES:
            raise import_failed(
                f"the files have {sum(sizes)} bytes, and this local server takes {_MOST_BYTES} in one job"
            )
        files = [dataclasses.replace(one, size=size) for one, size in zip(job.info.files, sizes, strict=True)]
        job = _changed(job, size=sum(sizes), files=files)
        while True:
            record = self._collection_of(job)
            if record is None:
                raise import_failed(f"collection {job.info.collection} was dropped")
            spec = record.spec
            job, columns = self._read(job, paths, spec)
            with self._locks.exclusive((record.database, record.name)):
                # While the files were read, it may have been dropped, or got another name or field.
                if self._collection_of(job) is record and record.spec is spec:
                    if not self._stopping:
                        self._write_rows(job, record, columns)
                    return

    def _paths(self, group: list[str]) -> list[Path]:
        paths = [locate(self._files, name) for name in group]
        for name, path in zip(group, paths, strict=True):
            # No pipes, which would never end.
            if not path.is_file():
                raise import_failed(f"no such file in the folder of this local server: {name}")
        return paths

    def _read(self, job: ImportRecord, paths: list[list[Path]], spec: CollectionSpec) -> tuple[ImportRecord, list[Any]]:
        """All rows of all files as columns, and the job as it is then."""
        rows: list[dict[str, Any]] = []
        files = list(job.info.files)
        for i, group in enumerate(paths):
            found = read_group(spec, group, job.options)
            rows += found
            files[i] = dataclasses.replace(files[i], total=len(found), progress=_WRITTEN)
            done = _READ + (_WRITTEN - _READ) * (i + 1) // len(paths)
            job = _changed(job, total=len(rows), progress=done, files=list(files))
            self._catalog.note_import(job)
        return job, encode(spec, rows, with_ids=False) if rows else []

    # --- writing ---

    def _write_rows(self, job: ImportRecord, record: CollectionRecord, columns: list[Any]) -> None:
        if job.deadline is not None and time.time() > job.deadline:
            raise import_failed(f"import timeout, timeout={job.options['timeout']}")
        count = job.info.total
        if count:
            if record.spec.primary.auto_id:
                columns = [self._made_ids(record, count), *columns]
            request = self._write_request("Insert", record, job.partition, columns, count)
            _keep(self._stage(job), request.SerializeToString())
            job = dataclasses.replace(job, staged=True)
            self._catalog.put_import(job)
            self._write(record, "Insert", request)
            self._seal(record)
        self._complete(job)

    def _seal(self, record: CollectionRecord) -> None:
        """Seal the rows, as Milvus does with imported ones."""
        try:
            self._flush(record)
        except ApiError as error:
            # They are there all the same.
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
        self._catalog.put_import(dataclasses.replace(job, staged=False))
        self._stage(job).unlink(missing_ok=True)

    def _end_imports(self) -> None:
        """Write the rows of the job that a crash came into; nobody else has written to the collection since."""
        for job in self._catalog.imports():
            record = self._collection_of(job)
            if not job.staged or record is None:
                continue
            try:
                request = milvus_pb2.InsertRequest.FromString(self._stage(job).read_bytes())
                self._write(record, "Insert", request)
            except (OSError, ApiError) as error:
                # The server must start; the reason says what cannot be known.
                self._fail(job.info.id, f"importing data failed: rows were not written for certain: {error}")
                continue
            self._seal(record)
            self._complete(job)
        # A crash may have come before one was removed, or before the catalog was told of it.
        for path in self._stages.glob("*"):
            path.unlink()

    # --- where things are ---

    def _collection_of(self, job: ImportRecord) -> CollectionRecord | None:
        there = (record for record in self._catalog.records() if record.id == job.collection)
        return next((record for record in there if record.state == "ready"), None)

    def _stage(self, job: ImportRecord) -> Path:
        """Where the rows of a job are kept until they are in the engine for good."""
        return self._stages / job.info.id

    @property
    def _stages(self) -> Path:
        return self._directory / "imports"


def _changed(job: ImportRecord, **changes: Any) -> ImportRecord:
    return dataclasses.replace(job, info=dataclasses.replace(job.info, **changes))


def _keep(path: Path, content: bytes) -> None:
    """Write a file that is there completely or not at all."""
    path.parent.mkdir(exist_ok=True)
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _seconds(text: str) -> float:
    """How long a duration of Go is, ``1h30m`` for instance."""
    if not _DURATION.fullmatch(text):
        raise import_failed(f"parse timeout failed, err=time: invalid duration {text!r}")
    return sum(float(number) * _SECONDS[unit] for number, unit in re.findall(r"([\d.]+)(ms|s|m|h)", text))


def _now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
