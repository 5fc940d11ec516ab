"""What a Milvus refuses, in the codes that its REST API has for it.

Since 2.3 a status has a ``code``, which the REST API hands on. Before, and in places after, it has ``error_code`` only,
of an older list; and where that says no more than "unexpected", the words may say what newer versions have a code for.
"""

from __future__ import annotations

import re
from typing import Any

from airflow_vectordb.local.errors import ApiError

_UNEXPECTED = 65535

# ErrorCode of common.proto, by number. What is not here has no code of its own in the REST API.
_LEGACY = {
    2: 2,  # ConnectFailed
    3: 1401,  # PermissionDenied
    4: 100,  # CollectionNotExists
    5: 1100,  # IllegalArgument
    7: 1100,  # IllegalDimension
    8: 1100,  # IllegalIndexType
    9: 1100,  # IllegalCollectionName
    10: 1100,  # IllegalTOPK
    11: 1100,  # IllegalRowRecord
    12: 1100,  # IllegalVectorID
    22: 1100,  # IllegalNLIST
    23: 1100,  # IllegalMetricType
    24: 3,  # OutOfMemory
    25: 700,  # IndexNotExist
    28: 100,  # CollectionNameNotFound
    48: 9,  # ForceDeny
    49: 8,  # RateLimit
    52: 3,  # InsufficientMemoryToLoad
    53: 3,  # MemoryQuotaExhausted
    54: 7,  # DiskQuotaExhausted
    56: 1,  # NotReadyServe
    57: 1,  # NotReadyCoordActivating
}

_WORDS = (
    (
        re.compile(
            r"cannot parse expression|predicate is not a boolean|failed to create query plan|invalid index type"
        ),
        1100,
    ),
    # A wrong metric is what Milvus itself says 65535 of.
    (re.compile(r"(?<!metric type not match): invalid parameter(\[|$)"), 1100),
    (re.compile(r"database:?\s?\S+ not found|database not found"), 800),
    (re.compile(r"can't find collection|collection \S+ not found|collection not found|collection not exist"), 100),
    (re.compile(r"collection\S* (was )?not loaded|has not been loaded"), 101),
    (re.compile(r"partition name \S+ not found|partition not found"), 200),
    (re.compile(r"index not found|index doesn't exist|index not exist"), 700),
    (re.compile(r"alias \S+ does not exist|alias not found"), 1600),
)


def read_status(status: Any) -> ApiError | None:
    """Return the refusal in a ``Status`` message of a server of any age; None when it says success."""
    code = status.code or _LEGACY.get(status.error_code, _UNEXPECTED if status.error_code else 0)
    if not code:
        return None
    if code == _UNEXPECTED:
        code = next((known for words, known in _WORDS if words.search(status.reason)), code)
    return ApiError(code, status.reason, http_status=403 if code == 1401 else 200)
