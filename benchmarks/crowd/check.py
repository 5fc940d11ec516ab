"""The check that HttpEventTrigger makes of an answer; it loads this module anew for each."""

from __future__ import annotations

import json

import requests


async def is_built(response: requests.Response) -> bool:
    """
    Read an answer as simply as it goes.

    :param response: to ``indexes/describe``
    """
    found = json.loads(response.content)
    return all(item["indexState"] == "Finished" and item["pendingRows"] <= 0 for item in found["data"])


__all__ = ["is_built"]
