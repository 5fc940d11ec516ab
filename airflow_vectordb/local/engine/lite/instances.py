"""Collections that Milvus Lite has open, let go of without a last write: it has no such call, and on a full disk fails.

What is in their logs is what they are: opened again, they are as after a crash.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from airflow_vectordb.local.engine.lite.folders import SCHEMA_FILE, drop_spent_logs

__all__ = ["let_go", "remove"]


def let_go(db: Any, database: str, collection: str, folder: Path) -> None:
    """Have a collection opened anew when it is next used.

    :param db: the engine.
    :param folder: the folder of the collection.
    """
    _close(db, database, collection)
    if (folder / SCHEMA_FILE).exists():
        drop_spent_logs(folder)


def remove(db: Any, database: str, collection: str, folder: Path) -> None:
    """Remove a collection.

    :param db: the engine.
    :param folder: the folder of the collection.
    """
    # First what makes it a collection: from here on, the next start removes what is left.
    (folder / SCHEMA_FILE).unlink(missing_ok=True)
    _close(db, database, collection)
    shutil.rmtree(folder, ignore_errors=True)


def _close(db: Any, database: str, collection: str) -> None:
    instance = db._collections.pop((database, collection), None)
    if instance is None:
        return
    instance._bg_closed = True
    instance._bg_executor.shutdown(wait=True)
    for sink in (instance._wal._data_sink, instance._wal._delta_sink):
        if sink is not None:
            # Not the buffer around it, which would first write the rest of what failed.
            sink.raw.close()
