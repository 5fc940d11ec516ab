"""The data directory on its disk: who may read it, and what remains usable when the disk is full."""

from __future__ import annotations

import logging
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_log = logging.getLogger(__name__)

_RESERVE = 4 * 1024 * 1024
_SMALLEST = 64 * 1024


def keep_private(directory: Path) -> None:
    """Make a data directory, or what others may read of one, its owner's alone.

    Where the directory itself cannot be, as it is another user's or shared, its contents are.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    # For what the engine makes in it.
    os.umask(0o077)
    shared = directory.stat().st_mode & stat.S_ISVTX
    if shared or not _close(directory):
        _log.warning("others may read the directory %s; give one that is for this data alone", directory)
        for name in ("engine", "files", "imports"):
            with suppress(FileNotFoundError):
                _close(directory / name)
    for path in directory.glob("catalog.sqlite*"):
        _close(path)


def _close(path: Path) -> bool:
    """Take a path from all but its owner, and return whether it is so."""
    with suppress(PermissionError):
        if not path.is_symlink() and path.stat().st_mode & 0o077:
            path.chmod(0o700 if path.is_dir() else 0o600)
    return not path.stat().st_mode & 0o077


class Reserve:
    """A part of the disk that is kept free for what makes room on a full one: the catalog, and dropping things.

    :param path: a file that occupies it meanwhile.
    :param size: its bytes; fewer when the disk has no more.
    """

    def __init__(self, path: Path, size: int = _RESERVE) -> None:
        self._path = path
        self._size = size
        self._lock = threading.RLock()

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Give it up within a ``with`` block."""
        with self._lock:
            self._path.unlink(missing_ok=True)
            try:
                yield
            finally:
                self._take()

    def _take(self) -> None:
        disk = os.statvfs(self._path.parent)
        size = min(self._size, disk.f_bavail * disk.f_frsize)
        while size >= _SMALLEST:
            try:
                with self._path.open("xb") as file:
                    _allocate(file.fileno(), size)
            except OSError:
                self._path.unlink(missing_ok=True)
                # Some of it goes into the file system's own books.
                size = size * 7 // 8
            else:
                return


def _allocate(descriptor: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    else:
        # macOS has no such call; its file systems do not leave zeros out.
        with open(descriptor, "wb", closefd=False) as file:
            file.write(bytes(size))
