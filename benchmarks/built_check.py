"""The check that HttpEventTrigger makes of a response; it loads this module again for each."""

from __future__ import annotations

import json

import requests


async def is_built(response: requests.Response) -> bool:
    """
    Return whether the index is built.

    :param response: the response to ``indexes/describe``
    """
    found = json.loads(response.content)
    return all(item["indexState"] == "Finished" and item["pendingRows"] <= 0 for item in found["data"])


__all__ = ["is_built"]
