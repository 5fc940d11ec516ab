"""The folders that Milvus Lite keeps collections in, set right before it opens any of them."""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

__all__ = ["SCHEMA_FILE", "collection_folder", "drop_spent_logs", "forget_index_files", "set_right"]

_log = logging.getLogger(__name__)

_DEFAULT = "default"
SCHEMA_FILE = "schema.json"
_LOG = re.compile(r"wal_(?:data|delta)_(\d+)\.arrow")


def collection_folder(engine: Path, database: str, collection: str) -> Path:
    """Where the engine keeps a collection.

    :param engine: its data directory.
    """
    root = engine if database == _DEFAULT else engine / "databases" / database
    return root / "collections" / collection


def set_right(engine: Path) -> None:
    """Bring every collection to a state that the engine goes on from rightly, whatever moment it was killed at.

    :param engine: its data directory, with no collection open.
    """
    for folder in _folders(engine):
        if (folder / SCHEMA_FILE).exists():
            drop_spent_logs(folder)
        else:
            # Its creation or dropping was cut short. Milvus Lite neither lists a folder without a schema nor lets a
            # collection of that name be created again.
            _log.warning("removing the remains of an unfinished collection: %s", folder)
            shutil.rmtree(folder)


def forget_index_files(folder: Path) -> bool:
    """Remove the files of a collection's indexes, which the engine makes anew from the rows when it loads.

    :param folder: the folder of the collection.
    :returns: whether there were any.
    """
    paths = list(folder.glob("partitions/*/indexes/*"))
    if paths:
        _log.warning("building the indexes anew, as they cannot be loaded: %s", folder)
    for path in paths:
        path.unlink(missing_ok=True)
    return bool(paths)


def _folders(engine: Path) -> Iterator[Path]:
    for root in [engine / "collections", *(engine / "databases").glob("*/collections")]:
        for folder in list(root.iterdir()) if root.is_dir() else ():
            if folder.is_dir():
                yield folder


def drop_spent_logs(folder: Path) -> None:
    """Remove the write-ahead logs whose rows are in data files already.

    A checkpoint writes rows and deletions to data files, commits them in the manifest together with the number of the
    next log, and only then removes the logs up to there. Killed in between, the engine would replay those logs at the
    next start, and have each of their rows twice, once in a data file and once in memory, with the same sequence
    number; and of several logs a deletion could be gone where the row that it deleted is replayed.
    """
    from milvus_lite.storage.manifest import Manifest

    # Of a manifest that does not load it takes the one before, just as the engine does when it opens the collection.
    active = Manifest.load(str(folder)).active_wal_number
    for path in folder.glob("wal/wal_*.arrow"):
        number = _LOG.fullmatch(path.name)
        if active is not None and number and int(number[1]) < active:
            _log.warning("removing a log whose rows are in data files: %s", path)
            path.unlink()
