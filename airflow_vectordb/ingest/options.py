"""How rows are ingested: set where it is known, and passed on as a whole.

Operators, which are imported by DAG files, have their defaults from here: this module imports nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Mode = Literal["upsert", "insert"]
OnBadRow = Literal["fail", "skip"]
#: Bytes of rows in one request.
MAX_BYTES = 8 * 1024 * 1024
#: The same at most: Milvus accepts about 64 MiB in all.
LARGEST_REQUEST = 60 * 1024 * 1024
#: Rows in one request.
MAX_ROWS = 10_000
#: Concurrent requests.
MAX_IN_FLIGHT = 4
#: Bytes of a staged file.
PART_BYTES = 256 * 1024 * 1024
#: Rows deleted by one request.
DELETED_AT_ONCE = 1000


@dataclass(frozen=True, kw_only=True)
class Options:
    """
    How rows are ingested. What is not listed here is an argument of ``IngestOperator``.

    :param timeout: seconds after which a client gives a request up; so long, a lost one may still take effect
    :param patience: seconds for which calls refused for lack of memory, disk or quota are retried
    :param clock: the present time, in seconds
    :param sleep: sleeps for so many seconds
    """

    mode: Mode | None = None
    field_mapping: Mapping[str, str | None] | None = None
    key_field: str | None = None
    replace_documents: str | None = None
    documents: Iterable[Any] = ()
    batch_bytes: int = MAX_BYTES
    batch_rows: int = MAX_ROWS
    max_in_flight: int = MAX_IN_FLIGHT
    partition_name: str | None = None
    timeout: float = 30.0
    patience: float = 3600.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
