"""jobs/import/…"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from airflow_vectordb.local.body import Key
from airflow_vectordb.local.endpoints.indexes import CollectionNameReq
from airflow_vectordb.local.endpoints.table import Answer, Call, InDatabase, endpoint
from airflow_vectordb.local.engine.index_rules import normalize
from airflow_vectordb.local.engine.model import ImportInfo

__all__: list[str] = []


@dataclass(frozen=True, kw_only=True)
class ImportReq(CollectionNameReq):
    files: Annotated[list[list[str]], Key("files", "Paths in the server's object storage, in groups.")]
    partition_name: Annotated[str, Key("partitionName", "The partition that the rows go to.")] = ""
    options: Annotated[dict[str, Any], Key("options", "timeout …")] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class JobReq(InDatabase):
    job: Annotated[str, Key("jobId", "What jobs/import/create gave.")]


@dataclass(frozen=True, kw_only=True)
class OptionalCollectionJobsReq(InDatabase):
    collection_name: Annotated[str, Key("collectionName", "Only the jobs of this collection.")] = ""


@endpoint("jobs/import/create", ImportReq)
def create_import(call: Call, request: ImportReq) -> Answer:
    """Import files into a collection."""
    job = call.engine.create_import(
        call.database, request.collection_name, request.partition_name, request.files, normalize(request.options)
    )
    return {"data": {"jobId": job}}


# Its name before Milvus 2.4.2, and since.
@endpoint("jobs/import/get_progress", JobReq)
@endpoint("jobs/import/describe", JobReq)
def describe_import(call: Call, request: JobReq) -> Answer:
    """How far an import is."""
    job = call.engine.import_job(call.database, request.job)
    described: dict[str, Any] = {
        **_listed(job),
        "completeTime": job.completed,
        "importedRows": job.imported,
        "totalRows": job.total,
        "fileSize": job.size,
    }
    described["details"] = [
        {
            "fileName": one.name,
            "fileSize": one.size,
            "progress": one.progress,
            "completeTime": one.completed,
            "state": one.state,
            "importedRows": one.imported,
            "totalRows": one.total,
            **({"reason": one.reason} if one.reason else {}),
        }
        for one in job.files
    ]
    return {"data": described}


@endpoint("jobs/import/list", OptionalCollectionJobsReq)
def list_imports(call: Call, request: OptionalCollectionJobsReq) -> Answer:
    """The imports of a database, or into one collection."""
    jobs = call.engine.import_jobs(call.database, request.collection_name)
    return {"data": {"records": [_listed(job) for job in jobs]}}


def _listed(job: ImportInfo) -> dict[str, Any]:
    listed: dict[str, Any] = {
        "jobId": job.id,
        "collectionName": job.collection,
        "state": job.state,
        "progress": job.progress,
    }
    if job.reason:
        listed["reason"] = job.reason
    return listed
