"""Opening files on object storage, and the errors when it refuses or does not answer."""

from __future__ import annotations

import errno
import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from airflow_vectordb.rest.errors import MilvusError
from airflow_vectordb.rest.text import sanitize_text

#: Bytes of read-ahead. fsspec's default, 5 to 50 MiB, would apply to each piece of a column.
READ_AHEAD_BYTES = 256 * 1024
#: Bytes of one part of an upload, kept in memory until it is sent.
WRITE_BYTES = 8 * 1024 * 1024
_PACKAGES = {
    **dict.fromkeys(("s3", "s3a", "s3n"), "apache-airflow-providers-amazon[s3fs]"),
    **dict.fromkeys(("gs", "gcs"), "apache-airflow-providers-google and gcsfs"),
    **dict.fromkeys(("abfs", "abfss", "adl", "az", "wasb"), "apache-airflow-providers-microsoft-azure and adlfs"),
}
_PERMANENT = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
# s3fs's exceptions for permanent errors: 400, 405, 301, 501.
_PERMANENT_NUMBERS = {
    *(errno.EINVAL, errno.EPERM, errno.ENOSYS, errno.ENAMETOOLONG, errno.EROFS),
    *(getattr(errno, name, errno.EINVAL) for name in ("EREMCHG", "EMSGSIZE")),
}


class StorageError(MilvusError):
    """The storage refused a request for a file, or did not answer."""

    def __init__(self, name: str, error: Exception) -> None:
        transient = _is_transient(error)
        said = sanitize_text(str(error) or type(error).__name__, 300)
        hint = "" if transient else "Check path, connection, rights."
        file = name.rstrip("/").rpartition("/")[2]
        super().__init__(f"{name}: {said}", cause=f"{file}: {said}", hint=hint, transient=transient)


def _is_transient(error: Exception) -> bool:
    if "expired" in str(error).lower():  # an expired token, which the next try renews; or a file that was replaced
        return True
    if isinstance(error, _PERMANENT):
        return False
    if isinstance(error, OSError) and error.errno in _PERMANENT_NUMBERS:
        return False
    kind = type(error).__name__
    return "Credential" not in kind and "Authentication" not in kind


@contextmanager
def storage_errors(name: object) -> Iterator[None]:
    """Turn errors of a storage's library into :class:`StorageError`."""
    try:
        yield
    except (MilvusError, ImportError, TypeError, ValueError, AttributeError, NotImplementedError):
        raise
    except Exception as error:
        raise StorageError(str(name), error) from error


class Stream:
    """An open file whose errors are :class:`StorageError`, other than errors in its content."""

    def __init__(self, stream: Any, name: str) -> None:
        self._stream = stream
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        value = getattr(self._stream, attribute)
        if not callable(value):
            return value

        @functools.wraps(value)
        def call(*args: Any, **kwargs: Any) -> Any:
            with storage_errors(self._name):
                return value(*args, **kwargs)

        return call

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_to_read(path: Any) -> Any:
    """Open a file for reading bytes."""
    return _open(path, "rb", block_size=READ_AHEAD_BYTES)


def open_to_write(path: Any) -> Any:
    """Open a file for writing bytes; on object storage, it exists only once it is committed, and needs no folder."""
    if not is_remote(path):
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
    return _open(path, "wb", block_size=WRITE_BYTES, autocommit=False)


def _open(path: Any, mode: str, **remote_options: Any) -> Any:
    with storage_errors(path):
        return Stream(path.open(mode, **remote_options), str(path)) if is_remote(path) else path.open(mode)


def is_remote(path: Any) -> bool:
    """Return whether a path is on an object storage."""
    return getattr(path, "protocol", "file") not in ("", "file", "local")


def package_for(scheme: str) -> str:
    """Return what to install for URLs of a scheme."""
    return _PACKAGES.get(scheme, "Airflow's provider for it")
