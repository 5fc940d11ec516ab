"""Sources of rows."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

#: Rows read at a time of columns: few enough to stay in a processor's cache. 512 rows of 768 float32 are 1.5 MiB.
BLOCK_ROWS = 512
#: Rows read at a time of what has one row after the other.
ROWS_AT_ONCE = 64
Row = Mapping[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Unreadable:
    """Takes the place of a row that cannot be read; the reason is as ``5 columns, and the header has 4``."""

    reason: str


@dataclass(slots=True)  # frozen, it would take twice as long to make, and generators have one for each row
class Block:
    """
    Consecutive rows of a source.

    :param first: number of the first one within the source, from 0
    :param rows: the rows, and what cannot be read as one
    :param matrices: by column, a two-dimensional NumPy array that has the value of each row as one of its rows, so that
        all can be checked together; only for columns for which there is one
    """

    first: int
    rows: Sequence[Row | Unreadable]
    matrices: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of_columns(cls, first: int, columns: Mapping[str, Any]) -> Block:
        """Create it from columns of the same length: lists or NumPy arrays."""
        rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        return cls(first, rows, {name: values for name, values in columns.items() if getattr(values, "ndim", 0) == 2})

    @classmethod
    def of_items(cls, first: int, items: Iterable[T], as_row: Callable[[T], Row | Unreadable]) -> Iterator[Block]:
        """Create blocks from what each becomes a row, passing over what is before the first one."""
        items = itertools.islice(items, first, None)
        while rows := list(map(as_row, itertools.islice(items, ROWS_AT_ONCE))):
            yield cls(first, rows)
            first += len(rows)


class Source(ABC):
    """A source of rows in a fixed order."""

    #: Name for messages, as ``part-0.parquet``.
    name = "rows"
    #: Whether all values are text, as in CSV.
    is_text = False

    def fingerprint(self) -> str | None:
        """Return a text that changes with the content; None: unknown."""
        count = self.row_count()
        return None if count is None else f"{count} rows"

    def columns(self) -> Sequence[str] | None:
        """Return the names of the columns, if all rows have the same ones; None: rows differ."""
        return None

    def row_count(self) -> int | None:
        """Return the number of rows; None: unknown without reading."""
        return None

    @abstractmethod
    def blocks(self, first: int = 0) -> Iterator[Block]:
        """
        Read the rows.

        :param first: number of the row to begin with, from 0
        :raises InvalidParametersError: when the source is not of its format, or ends early
        """
