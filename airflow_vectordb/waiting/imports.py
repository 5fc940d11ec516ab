"""Conditions: an import job is completed; it is known whether a job exists."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

from airflow_vectordb.rest import import_jobs
from airflow_vectordb.rest.errors import ImportFailedError, NoSuchEndpointError
from airflow_vectordb.rest.http.call import Call
from airflow_vectordb.rest.import_jobs import ImportJob
from airflow_vectordb.rest.text import sanitize_text
from airflow_vectordb.waiting.base import Done, Memory, Pending, Poll, Progress

#: Files whose progress is reported by name; a job may have 1,024.
MAX_FILES_REPORTED = 8


@dataclass(frozen=True)
class ImportCompleted:
    """
    An import job is completed, so that its rows can be read.

    :param collection: name of the collection; empty: not known
    :param job_id: id of the job
    :param database: None: the configured one
    """

    collection: str
    job_id: str
    database: str | None = None

    def poll(self, memory: Memory) -> Poll:
        """
        Describe the job.

        :raises ImportFailedError: if it failed, with the server's reason, or does not exist
        """
        try:
            job = yield from _describe(self.job_id, self.database)
        except ImportFailedError as error:
            hint = "Milvus forgets a job hours after its end: count the rows."
            raise error.with_context(hint=hint) from error.__cause__
        if job.state == "Failed":
            reasons = [job.reason, *(file.reason for file in job.files)]
            reason = next((sanitize_text(one, 2000) for one in reasons if one), "the server gives no reason")
            raise ImportFailedError(reason)
        if job.state == "Completed":
            return Done(
                {
                    "collection_name": job.collection or self.collection,
                    "job_id": self.job_id,
                    "rows": job.imported_rows,
                    "files": len(job.files),
                }
            )
        state = Progress(str(self), sanitize_text(job.state, 100), job.progress, 100, "%")
        return Pending((state, *_progress_of_files(job)))

    def __str__(self) -> str:
        return f"import job {self.job_id}"


@dataclass(frozen=True)
class ImportFound:
    """
    It is known whether an import job with certain files was created since some moment.

    A server lists jobs without their files, and does not report the files of a job that it has not started; so the wait
    continues until it does. It may also create a job after the client has given up: so the wait continues until no such
    job can appear any more.

    :param collection: name of the collection
    :param files: groups of paths, as they were given to the job
    :param before: ids of the jobs that existed at that moment
    :param database: None: the configured one
    :param until: seconds since the epoch: until then, a job may still appear
    """

    collection: str
    files: tuple[tuple[str, ...], ...]
    before: tuple[str, ...]
    database: str | None = None
    until: float = 0.0

    def poll(self, memory: Memory) -> Poll:
        """List the collection's jobs, and describe the new ones."""
        listed: list[ImportJob] = yield import_jobs.list_(self.collection, database=self.database)
        failed: ImportJob | None = None
        unknown = []
        for job_id in sorted({job.job_id for job in listed} - set(self.before)):
            job = yield from _describe(job_id, self.database)
            if job.has_files(self.files):
                if job.state != "Failed":
                    return _found(job)
                failed = job
            elif not job.files and job.state != "Failed":
                unknown.append(Progress(f"import job {job_id}", "its files are not known yet"))
        if unknown:
            return Pending(tuple(unknown))
        if failed is None and memory.clock() < self.until:
            return Pending((Progress(str(self), "none so far; one that was asked for may still appear"),))
        return _found(failed)

    def __str__(self) -> str:
        return f"the files of new import jobs of collection {self.collection!r}"


def _found(job: ImportJob | None) -> Done:
    return Done({"job_id": None, "state": None} if job is None else {"job_id": job.job_id, "state": job.state})


def _describe(job_id: str, database: str | None) -> Generator[Call[Any], Any, ImportJob]:
    try:
        job: ImportJob = yield import_jobs.describe(job_id, database=database)
    except NoSuchEndpointError:  # Milvus 2.4.0
        job = yield import_jobs.get_progress(job_id, database=database)
    return job


def _progress_of_files(job: ImportJob) -> Iterator[Progress]:
    unfinished = [file for file in job.files if file.state != "Completed"]
    for file in unfinished[:MAX_FILES_REPORTED]:
        name, state = sanitize_text(file.name, 200), sanitize_text(file.state, 100)
        if file.total_rows and file.imported_rows:
            yield Progress(name, state, file.imported_rows, file.total_rows)
        else:
            yield Progress(name, state, file.progress, 100, "%")
    if job.files:
        yield Progress("files", "completed", len(job.files) - len(unfinished), len(job.files), "files")


__all__ = ["ImportCompleted", "ImportFound"]
