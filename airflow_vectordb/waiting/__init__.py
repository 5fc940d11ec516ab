"""Waiting for what takes a server its time, with no Airflow in it: conditions, and the loop that polls them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_vectordb._lazy import lazy_face

if TYPE_CHECKING:
    from airflow_vectordb.waiting import conditions, polling
    from airflow_vectordb.waiting.conditions import (
        CollectionLoaded,
        CollectionReleased,
        Condition,
        Done,
        IndexesBuilt,
        Memory,
        Pending,
        PollResult,
        Progress,
    )
    from airflow_vectordb.waiting.polling import (
        Deadline,
        is_recoverable,
        last_moment,
        poll_until_done,
        still_waiting,
    )

__getattr__, __dir__ = lazy_face(
    __name__,
    ("conditions", "polling"),
    {
        **dict.fromkeys(("CollectionLoaded", "CollectionReleased", "Condition", "Done", "IndexesBuilt"), "conditions"),
        **dict.fromkeys(("Memory", "Pending", "PollResult", "Progress"), "conditions"),
        **dict.fromkeys(("Deadline", "is_recoverable", "last_moment", "poll_until_done", "still_waiting"), "polling"),
    },
)

__all__ = [
    "CollectionLoaded",
    "CollectionReleased",
    "Condition",
    "Deadline",
    "Done",
    "IndexesBuilt",
    "Memory",
    "Pending",
    "PollResult",
    "Progress",
    "conditions",
    "is_recoverable",
    "last_moment",
    "poll_until_done",
    "polling",
    "still_waiting",
]
