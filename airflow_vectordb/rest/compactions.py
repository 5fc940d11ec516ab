"""Calls on ``/v2/vectordb/collections/compact`` and ``get_compaction_state``."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_vectordb.rest.http.call import Answer, Call, build_body
from airflow_vectordb.rest.lists import check_integers
from airflow_vectordb.rest.result import Result


@dataclass(frozen=True)
class Compaction(Result):
    """A compaction: ``state`` is ``Executing`` or ``Completed``; the numbers are those of its plans."""

    job_id: int
    state: str
    executing: int = 0
    completed: int = 0
    timed_out: int = 0


def compact(collection: str, *, clustering: bool = False, database: str | None = None) -> Call[int]:
    """
    Start to merge small segments and to remove deleted rows; return an id for :func:`describe`.

    A second call would start a second compaction, so it is not retried.

    :param clustering: whether rows are sorted into segments by the clustering key
    """
    body = build_body(database, collectionName=collection, isClustering=clustering or None)
    return Call("collections/compact", body, lambda a: int(a.data["compactionID"]), idempotent=False)


def describe(job_id: int) -> Call[Compaction]:
    """Return the state of a compaction that :func:`compact` started (``collections/get_compaction_state``)."""
    check_integers(job_id=job_id)
    return Call("collections/get_compaction_state", build_body(jobID=job_id), _compaction)


def _compaction(answer: Answer) -> Compaction:
    data = answer.data
    return Compaction(
        job_id=int(data["compactionID"]),
        state=str(data["state"]),
        executing=int(data.get("executingPlanNumber") or 0),
        completed=int(data.get("completedPlanNumber") or 0),
        timed_out=int(data.get("timeoutPlanNumber") or 0),
    )
