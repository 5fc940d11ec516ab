"""Waiting without Airflow: conditions, and the loop that polls them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_vectordb import lazy_face

if TYPE_CHECKING:
    from airflow_vectordb.waiting import conditions, polling
    from airflow_vectordb.waiting.base import Condition, Done, Memory, Pending, PollResult, Progress
    from airflow_vectordb.waiting.conditions import CollectionLoaded, CollectionReleased, ImportCompleted, ImportFound
    from airflow_vectordb.waiting.indexes import IndexesBuilt
    from airflow_vectordb.waiting.polling import Deadline, Wait, last_moment, poll_until_done

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        **dict.fromkeys(("Condition", "Done", "Memory", "Pending", "PollResult", "Progress"), "base"),
        **dict.fromkeys(("CollectionLoaded", "CollectionReleased", "ImportCompleted", "ImportFound"), "conditions"),
        "IndexesBuilt": "indexes",
        **dict.fromkeys(("Deadline", "Wait", "last_moment", "poll_until_done"), "polling"),
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
    "Wait",
    "conditions",
    "last_moment",
    "poll_until_done",
    "polling",
]
