"""The base of the file formats."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import IO

from airflow_vectordb.ingest.source import Block, Path
from airflow_vectordb.ingest.storage import storage_errors
from airflow_vectordb.rest.errors import InvalidParametersError


class File(ABC):
    """
    A file; the base of the formats.

    :param path: where it is
    :param open_: opens it for reading bytes, decompressed
    """

    is_text = False
    #: Whether it is read sequentially.
    is_sequential = False

    def __init__(self, path: Path, open_: Callable[[], AbstractContextManager[IO[bytes]]]) -> None:
        self.path = path
        self._open = open_

    @property
    def name(self) -> str:
        """Name of the file."""
        return self.path.name

    def fingerprint(self) -> str | None:
        """Return size and ETag, or the modification time if there is no ETag."""
        with storage_errors(self.path):
            stat = self.path.stat()
        etag = stat.get("ETag") if isinstance(stat, Mapping) else None
        changed = etag or getattr(stat, "st_mtime", None)
        return f"{stat.st_size} bytes" + (f", {changed}" if changed else "")

    def columns(self) -> Sequence[str] | None:
        """Return None: rows differ."""
        return None

    def row_count(self) -> int | None:
        """Return None: unknown without reading the file."""
        return None

    @abstractmethod
    def blocks(self, first: int = 0) -> Iterator[Block]:
        """Read the rows; see :class:`Source`."""

    def _invalid(self, reason: object) -> InvalidParametersError:
        return InvalidParametersError([f"{self.name}: {reason}"], "file")


__all__ = ["File"]
