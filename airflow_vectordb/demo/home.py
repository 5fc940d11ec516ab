"""The directory of a run, and the location of the example DAGs."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from pathlib import Path

LOCK_PATIENCE = 15.0  # seconds; ending the processes of a killed run may take a moment
MARKER = "made-by-airflow-vectordb"


class HomeError(OSError):
    """The directory cannot be used; the message says why and what to do."""


class Home:
    """A directory for one run at a time: locked while in use, emptied first if the run is to start fresh.

    ``lock`` is the descriptor whose lock marks it as in use.
    """

    lock: int

    def __init__(self, path: Path, *, fresh: bool) -> None:
        self.path = path.absolute()
        # Files of a run. Only these are ever removed.
        self._parts = [self.path / part for part in ("airflow", "milvus", "logs", "user")]
        self.airflow, self.milvus, self.logs, self.user = self._parts
        self._fresh = fresh

    def __enter__(self) -> Home:
        marker = self.path / MARKER
        if self.path.exists() and not marker.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            # It is emptied by each run, so it must not contain a user's own files.
            raise HomeError(f"{self.path} holds something else; name a directory that is new or empty")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self.lock = os.open(marker, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise HomeError(f"{self.path} cannot be used: {error.strerror}; --home names another directory") from error
        self._take_lock()
        for part in self._parts:
            if self._fresh and part.exists():
                shutil.rmtree(part)
            part.mkdir(mode=0o700, exist_ok=True)
        return self

    def __exit__(self, *exc: object) -> None:
        os.close(self.lock)

    def _take_lock(self) -> None:
        deadline = time.monotonic() + LOCK_PATIENCE
        while True:
            try:
                return fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    os.close(self.lock)
                    raise HomeError(
                        f"another run is using {self.path}; end it, or name another directory with --home"
                    ) from None
            time.sleep(0.2)


def write_secret(path: Path, text: str) -> None:
    """Write a file atomically, readable by its owner only."""
    partial = path.with_name(path.name + ".new")
    partial.touch(mode=0o600)
    partial.write_text(text)
    partial.replace(path)


def examples_directory() -> Path:
    """Return the folder of the example DAGs: in the installed package, or next to it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    for place in (package / "dags_examples", package.parent / "dags_examples"):
        if (place / "digits_search.py").is_file():
            return place
    raise HomeError(f"the example DAGs are neither in {package} nor beside it: the installation is not whole")
