"""Waiting without Airflow: conditions, and the loop that polls them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_vectordb import lazy_face

if TYPE_CHECKING:
    from airflow_vectordb.waiting import conditions, polling
    from airflow_vectordb.waiting.base import Condition, Done, Memory, Pending, PollResult, Progress
    from airflow_vectordb.waiting.collections import CollectionLoaded, CollectionReleased
    from airflow_vectordb.waiting.imports import ImportCompleted, ImportFound
    from airflow_vectordb.waiting.indexes import IndexesBuilt
    from airflow_vectordb.waiting.polling import Deadline, is_recoverable, last_moment, not_done, poll_until_done
    from airflow_vectordb.waiting.report import still_waiting

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        **dict.fromkeys(("Condition", "Done", "Memory", "Pending", "PollResult", "Progress"), "base"),
        **dict.fromkeys(("CollectionLoaded", "CollectionReleased"), "collections"),
        **dict.fromkeys(("ImportCompleted", "ImportFound"), "imports"),
        "IndexesBuilt": "indexes",
        **dict.fromkeys(("Deadline", "is_recoverable", "last_moment", "not_done", "poll_until_done"), "polling"),
        "still_waiting": "report",
    },
)

__all__ = [
    "CollectionLoaded",
    "CollectionReleased",
    "Condition",
    "Deadline",
    "Done",
    "ImportCompleted",
    "ImportFound",
    "IndexesBuilt",
    "Memory",
    "Pending",
    "PollResult",
    "Progress",
    "conditions",
    "is_recoverable",
    "last_moment",
    "not_done",
    "poll_until_done",
    "polling",
    "still_waiting",
]
