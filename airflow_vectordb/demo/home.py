"""The directory of a run, and the location of the example DAGs."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from pathlib import Path
from typing import IO

LOCK_PATIENCE = 15.0  # seconds; ending the processes of a killed run may take a moment
MARKER = "made-by-airflow-vectordb"
# Files of a run. Only these are ever removed.
PARTS = ("airflow", "milvus", "logs", "user")


class HomeError(RuntimeError):
    """The directory cannot be used; the message says why and what to do."""


class Home:
    """A directory for one run at a time: locked while in use, emptied first if the run is to start fresh."""

    def __init__(self, path: Path, *, fresh: bool) -> None:
        self.path = path.absolute()
        self.airflow = self.path / "airflow"
        self.milvus = self.path / "milvus"
        self.logs = self.path / "logs"
        self.user = self.path / "user"
        self._fresh = fresh
        self._lock: IO[str] | None = None

    @property
    def lock(self) -> int:
        """The descriptor whose lock marks the directory as in use."""
        if self._lock is None:
            raise RuntimeError("the directory is in use only inside the with block")
        return self._lock.fileno()

    def __enter__(self) -> Home:
        marker = self.path / MARKER
        if self.path.exists() and not marker.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            # It is emptied by each run, so it must not contain a user's own files.
            raise HomeError(f"{self.path} holds something else; name a directory that is new or empty")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = marker.open("a+")
        except OSError as error:
            raise HomeError(f"{self.path} cannot be used: {error.strerror}; --home names another directory") from error
        deadline = time.monotonic() + LOCK_PATIENCE
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    lock.close()
                    raise HomeError(
                        f"another run is using {self.path}; end it, or name another directory with --home"
                    ) from error
                time.sleep(0.2)
        self._lock = lock
        for part in PARTS:
            if self._fresh and (self.path / part).exists():
                shutil.rmtree(self.path / part)
            (self.path / part).mkdir(mode=0o700, exist_ok=True)
        return self

    def __exit__(self, *exc: object) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def write_secret(self, path: Path, text: str) -> None:
        """Write a file atomically, readable by its owner only."""
        partial = path.with_name(path.name + ".new")
        partial.unlink(missing_ok=True)
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        partial.replace(path)


def examples_directory() -> Path:
    """Return the folder of the example DAGs: in the installed package, or next to it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    for place in (package / "dags_examples", package.parent / "dags_examples"):
        if (place / "digits_search.py").is_file():
            return place
    raise HomeError(f"the example DAGs are neither in {package} nor beside it: the installation is not whole")
