"""Import jobs of the local server, and what is to be seen of them."""

from __future__ import annotations

import time
from typing import Any

from tests.support.local_api import Api, Json


def imported(api: Api, collection: str, *groups: list[str], seconds: float = 30, **more: Any) -> Json:
    """The description of a job that has ended."""
    job = api.ok("jobs/import/create", collectionName=collection, files=list(groups), **more)["jobId"]
    return ended(api, job, seconds)


def ended(api: Api, job: str, seconds: float = 30) -> Json:
    deadline = time.monotonic() + seconds
    while True:
        told: Json = api.ok("jobs/import/describe", jobId=job)
        if told["state"] in ("Completed", "Failed"):
            return told
        assert told["state"] in ("Pending", "Importing")
        assert time.monotonic() < deadline, told
        time.sleep(0.02)


def rows_of(api: Api, collection: str) -> list[Json]:
    found: list[Json] = api.ok("entities/query", collectionName=collection, outputFields=["*"], limit=16384)
    return found
