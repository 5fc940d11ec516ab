"""Calls on ``/v2/vectordb/jobs/import``. ``database`` is the collection's; None: the configured one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_vectordb.rest.http.call import Answer, Call, build_body, parse_name
from airflow_vectordb.rest.lists import as_list
from airflow_vectordb.rest.result import Result


@dataclass(frozen=True)
class ImportFile(Result):
    """
    A group of files of an import job: one Parquet or JSON file, or the NumPy files of all fields.

    :param name: the paths, as the server writes them
    :param total_rows: 0 until they are counted; all else as of :class:`ImportJob`
    """

    name: str
    state: str
    progress: int = 0
    imported_rows: int = 0
    total_rows: int = 0
    reason: str = ""

    def has(self, paths: Sequence[str]) -> bool:
        """Return whether it is the group of these paths, as they were given to :func:`create`."""
        # `a,b`, `[a b]` or `id:1 paths:"a" paths:"b"`, by the server's version.
        return all(re.search(rf"(?<![^\s,\"\[]){re.escape(path)}(?![^\s,\"\]])", self.name) for path in paths)


@dataclass(frozen=True)
class ImportJob(Result):
    """
    An import job as the server describes it.

    :param state: ``Pending``, ``Importing``, ``Completed`` or ``Failed``
    :param progress: percent
    :param imported_rows: so far, of the ``total_rows`` in all files
    :param reason: why it failed; empty otherwise
    :param files: how far each group of files is; empty in a list, and as long as the server has not begun
    """

    job_id: str
    state: str
    progress: int = 0
    imported_rows: int = 0
    total_rows: int = 0
    reason: str = ""
    collection: str = ""
    files: tuple[ImportFile, ...] = ()

    def has_files(self, groups: Sequence[Sequence[str]]) -> bool:
        """Return whether the job imports exactly these groups of paths, as they were given to :func:`create`."""
        return len(groups) == len(self.files) and all(any(one.has(group) for one in self.files) for group in groups)


def create(
    collection: str,
    files: Sequence[Sequence[str]],
    *,
    partition: str | None = None,
    options: Mapping[str, Any] | None = None,
    database: str | None = None,
) -> Call[str]:
    """
    Start an import job. A second call would start a second job, so the call is not retried.

    :param files: groups of paths in the server's object storage, a group being one Parquet or JSON file, or the NumPy
        files of all fields
    :param options: for example ``{"timeout": "300s"}``
    """
    groups = [as_list(f"files[{n}]", group, "paths") for n, group in enumerate(as_list("files", files, "groups"))]
    body = build_body(database, collectionName=collection, partitionName=partition, files=groups, options=options)
    return Call("jobs/import/create", body, parse_name("jobId"), idempotent=False)


def describe(job_id: str, *, database: str | None = None) -> Call[ImportJob]:
    """Return the progress of a job (Milvus 2.5 and later; :func:`get_progress` before)."""
    return Call("jobs/import/describe", build_body(database, jobId=job_id), lambda a: _parse(a.data))


def get_progress(job_id: str, *, database: str | None = None) -> Call[ImportJob]:
    """Return the progress of a job, over the path of Milvus 2.4."""
    return Call("jobs/import/get_progress", build_body(database, jobId=job_id), lambda a: _parse(a.data))


def list_(collection: str | None = None, *, database: str | None = None) -> Call[list[ImportJob]]:
    """List the import jobs of a collection; None: those of the whole database."""
    return Call("jobs/import/list", build_body(database, collectionName=collection), _parse_all)


def _parse_all(answer: Answer) -> list[ImportJob]:
    data = answer.data or {}
    records = data.get("records") or data.get("jobs") or [] if isinstance(data, Mapping) else data
    return [_parse(record) for record in records]


def _parse(data: Mapping[str, Any]) -> ImportJob:
    files = (ImportFile(str(item.get("fileName") or ""), **_progress(item)) for item in data.get("details") or ())
    collection = str(data.get("collectionName") or "")
    return ImportJob(str(data.get("jobId") or ""), **_progress(data), collection=collection, files=tuple(files))


def _progress(data: Mapping[str, Any]) -> dict[str, Any]:
    # Older servers say ImportPending … ImportCompleted.
    state = str(data["state"]).removeprefix("Import") if data["state"] != "Importing" else "Importing"
    total = data.get("totalRows")
    return {
        "state": state,
        "progress": int(data.get("progress") or 0),
        # Zilliz Cloud counts only all rows.
        "imported_rows": int(data.get("importedRows", total if state == "Completed" else 0) or 0),
        "total_rows": int(total or 0),
        "reason": str(data.get("reason") or ""),
    }
