"""The base of the file formats."""

from __future__ import annotations

import gzip
import io
import shutil
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from tempfile import TemporaryFile
from typing import IO, Any

from airflow_vectordb.ingest.source import Block, Source
from airflow_vectordb.ingest.storage import StorageError, is_remote, open_to_read, storage_errors
from airflow_vectordb.rest.errors import InvalidParametersError, MilvusError
from airflow_vectordb.rest.text import sanitize_text

#: Bytes of one request for a file that is read sequentially from object storage.
REQUEST_BYTES = 8 * 1024 * 1024
COMPRESSIONS = (".gz", ".zst")


class File(Source):
    """
    A file; the base of the formats.

    :param path: has ``name``, ``open`` and ``stat``, as :class:`pathlib.Path` and Airflow's ``ObjectStoragePath``
    :param compression: one of ``COMPRESSIONS``; empty: none
    """

    #: Whether it is read sequentially.
    is_sequential = False

    def __init__(self, path: Any, compression: str = "") -> None:
        self.path = path
        self.name = path.name
        self._compression = compression

    def fingerprint(self) -> str:
        """Return size and ETag, or the modification time if there is no ETag."""
        with storage_errors(self.path):
            stat = self.path.stat()
        etag = stat.get("ETag") if isinstance(stat, Mapping) else None
        changed = etag or getattr(stat, "st_mtime", None)
        return f"{stat.st_size} bytes" + (f", {changed}" if changed else "")

    def blocks(self, first: int = 0) -> Iterator[Block]:
        """Read the rows; see :class:`Source`."""
        row, before = first, self.fingerprint() if self.is_sequential else None
        with self._opened(lambda: f"cannot be read beyond row {row}: ") as stream:
            for block in self._blocks(stream, first):
                yield block
                row = block.first + len(block.rows)
        # Other formats have an end that is written last.
        if self.is_sequential and self.fingerprint() != before:
            raise StorageError(str(self.path), OSError("it has changed while it was read: is it complete?"))

    @abstractmethod
    def _blocks(self, stream: IO[bytes], first: int) -> Iterator[Block]:
        """Read the rows of the open file."""

    @contextmanager
    def _opened(self, where: Callable[[], str] = str) -> Iterator[IO[bytes]]:
        """Open the file; errors that come up meanwhile name it, and where it was read."""
        try:
            with self._open() as stream:
                yield stream
        except (MilvusError, ImportError, MemoryError):
            raise
        except Exception as error:  # libraries raise all kinds for content that is not of the format
            storage_error = StorageError(str(self.path), error)
            if getattr(error, "errno", None) and storage_error.transient:  # the system's: a full disk, a lost mount
                raise storage_error from error
            reason = f"it is not UTF-8, convert it: {error}" if isinstance(error, UnicodeDecodeError) else error
            raise self._invalid(f"{where()}{reason}") from error

    @contextmanager
    def _open(self) -> Iterator[IO[bytes]]:
        """Open the file for reading bytes, decompressed."""
        with ExitStack() as stack:
            stream: Any = stack.enter_context(open_to_read(self.path))
            if is_remote(self.path) and (self.is_sequential or self._compression):
                stream = io.BufferedReader(stream, REQUEST_BYTES)
            if self._compression:
                if not stream.read(1):  # which decompresses to nothing, but is what a killed writer leaves
                    raise EOFError("it ends early: a compressed file has at least a header")
                stream.seek(0)
            if self._compression == ".gz":
                stream = io.BufferedReader(stack.enter_context(gzip.GzipFile(fileobj=stream)))
            elif self._compression == ".zst":
                import pyarrow

                stream = io.BufferedReader(stack.enter_context(pyarrow.CompressedInputStream(stream, "zstd")))
            if self._compression and not self.is_sequential:  # to go back, it would be decompressed again, if at all
                copy = stack.enter_context(TemporaryFile())
                shutil.copyfileobj(stream, copy)
                copy.seek(0)
                stream = copy
            yield stream

    def _invalid(self, reason: object) -> InvalidParametersError:
        return InvalidParametersError([f"{self.name}: {sanitize_text(str(reason), 300)}"], "file")
