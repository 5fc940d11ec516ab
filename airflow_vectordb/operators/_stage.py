"""Writing and removing the parts that ImportOperator stages for the server."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_vectordb import rest
from airflow_vectordb.hooks.ingest import object_path, open_bad_rows, open_input
from airflow_vectordb.ingest.staging import stage
from airflow_vectordb.ingest.storage import is_remote, open_to_write
from airflow_vectordb.ingest.writer import Progress

if TYPE_CHECKING:
    from airflow_vectordb.hooks.milvus import MilvusHook
    from airflow_vectordb.operators.import_job import ImportOperator
    from airflow_vectordb.retry_state import RetryState


def write_parts(task: ImportOperator, hook: MilvusHook, kept: RetryState, rows: Any) -> dict[str, Any]:
    """Write a task's rows as parts, except those of an earlier try; return the staged parts."""
    fact = kept.get() or {}
    if "staged" not in fact:
        folder = f"{task.collection_name}-{uuid.uuid4().hex[:12]}"
        fact["staged"] = {"folder": folder, "progress": None}
        kept.set(fact)
    folder = fact["staged"]["folder"]
    earlier = Progress.from_json(fact["staged"]["progress"]) if fact["staged"]["progress"] else None
    if earlier is not None and (fact.get("jobs") or fact.get("before") is not None):
        return _result(folder, earlier)  # an import of the parts has begun
    if earlier is not None and earlier.batches:
        task.log.info("%s: an earlier try has staged %s rows", task.collection_name, f"{earlier.rows:,}")
    collection = hook.send(rest.collections.describe(task.collection_name))
    target = _folder(task, folder)
    if is_remote(target):
        _abort_uploads(task, target)

    def save(progress: dict[str, Any]) -> None:
        fact["staged"] = {"folder": folder, "progress": progress}
        kept.set(fact)

    done = stage(
        open_input(rows, task.source, task.source_conn_id, collection, allow_missing=task.allow_missing),
        collection,
        lambda number: open_to_write(target / _name(number)),
        open_bad_rows(task.on_bad_row, task.max_bad_rows, task.bad_rows_path, task.source_conn_id),
        field_mapping=task.field_mapping,
        progress=earlier,
        save=save,
        part_bytes=task.part_bytes,
    )
    task.log.info(
        "%s: %s rows staged below %s (%.1f MB, parts: %d, skipped rows: %s)",
        task.collection_name,
        f"{done.rows:,}",
        target,
        done.size / 1e6,
        done.batches,
        f"{done.skipped:,}",
    )
    return _result(folder, done)


def _result(folder: str, done: Progress) -> dict[str, Any]:
    return {"folder": folder, "parts": done.batches, "rows": done.rows, "skipped": done.skipped}


def paths_for_server(task: ImportOperator, staged: Mapping[str, Any]) -> tuple[tuple[str, ...], ...]:
    """Return the parts' paths as the server sees them, each a group of its own."""
    prefix = task.files_prefix
    if prefix is None:
        scheme, _, place = str(task.stage_to).rpartition("://")
        if scheme in ("", "file", "local"):
            prefix = object_path(task.stage_to, task.stage_conn_id).path
        else:
            prefix = place.partition("/")[2]  # without the bucket
    parts = [part for part in (prefix.rstrip("/"), staged["folder"]) if part]
    return tuple(("/".join([*parts, _name(number)]),) for number in range(staged["parts"]))


def remove_parts(task: ImportOperator, staged: Mapping[str, Any]) -> None:
    """Remove the parts. The rows are imported, so errors here do not fail the task."""
    folder = _folder(task, staged["folder"])
    try:
        folder.fs.invalidate_cache()
        if folder.fs.exists(folder.path):  # object stores may have no folders
            folder.fs.rm(folder.path, recursive=True)
    except Exception as error:  # noqa: BLE001
        task.log.warning("The rows are imported; the parts below %s could not be removed: %s", folder, error)


def _abort_uploads(task: ImportOperator, folder: Any) -> None:
    """Abort uploads of a killed try: S3 stores, and charges for, incomplete uploads."""
    if not hasattr(folder.fs, "list_multipart_uploads"):
        return
    try:
        for upload in folder.fs.list_multipart_uploads(folder.bucket):
            if upload["Key"].startswith(f"{folder.key}/"):
                folder.fs.abort_mpu(folder.bucket, upload["Key"], upload["UploadId"])
    except Exception as error:  # noqa: BLE001
        task.log.debug("Uploads that a killed try has left below %s could not be found and aborted: %s", folder, error)


def _folder(task: ImportOperator, name: str) -> Any:
    return object_path(task.stage_to, task.stage_conn_id) / name


def _name(number: int) -> str:
    return f"part-{number:05}.parquet"
