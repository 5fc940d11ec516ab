"""jobs/import/…"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_vectordb.local.body import optional, required
from airflow_vectordb.local.endpoints.bodies import CollectionNameReq, OptionalCollectionNameReq
from airflow_vectordb.local.endpoints.table import Answer, RequestContext, endpoint
from airflow_vectordb.local.engine.model import ImportInfo
from airflow_vectordb.local.errors import invalid


@dataclass(frozen=True, kw_only=True)
class ImportReq(CollectionNameReq):
    files: list[list[str]] = required("files", "Paths in the server's object storage, in groups.")
    partition_name: str = optional("partitionName", "The partition that the rows go to.")
    options: dict[str, str] = optional("options", "timeout …", dict)


@dataclass(frozen=True, kw_only=True)
class JobIDReq:
    job: str = required("jobId", "What jobs/import/create returned.")


@endpoint("jobs/import/create", ImportReq)
def create_import(context: RequestContext, request: ImportReq) -> Answer:
    """Import files into a collection."""
    files = [group for group in request.files if group]
    if not files:
        context.engine.collections.spec(context.database, request.collection_name)
        raise invalid("import request is empty")
    job = context.engine.imports.create(
        context.database, request.collection_name, request.partition_name, files, request.options
    )
    return {"data": {"jobId": job}}


# Its name before Milvus 2.4.2, and since.
@endpoint("jobs/import/get_progress", JobIDReq)
@endpoint("jobs/import/describe", JobIDReq)
def describe_import(context: RequestContext, request: JobIDReq) -> Answer:
    """Return how far an import is."""
    job = context.engine.imports.describe(request.job)
    described = {
        **_listed(job),
        "completeTime": job.completed,
        "importedRows": job.imported,
        "totalRows": job.total,
        "fileSize": job.size,
        "details": [
            {
                "fileName": one.name,
                "fileSize": one.size,
                "progress": one.progress,
                "completeTime": one.completed,
                "state": one.state,
                "importedRows": one.imported,
                "totalRows": one.total,
                **_reason(one.reason),
            }
            for one in job.files
        ],
    }
    return {"data": described}


@endpoint("jobs/import/list", OptionalCollectionNameReq)
def list_imports(context: RequestContext, request: OptionalCollectionNameReq) -> Answer:
    """List the imports of a database, or into one collection."""
    jobs = context.engine.imports.jobs(context.database, request.collection_name)
    return {"data": {"records": [_listed(job) for job in jobs]}}


def _listed(job: ImportInfo) -> dict[str, Any]:
    return {
        "jobId": job.id,
        "collectionName": job.collection,
        "state": job.state,
        "progress": job.progress,
        **_reason(job.reason),
    }


def _reason(reason: str) -> dict[str, str]:
    return {"reason": reason} if reason else {}
