"""The process behind :class:`~airflow_vectordb.local.LocalMilvus`; for people there is ``airflow-vectordb serve``.

It reads its settings from the environment, writes one line of JSON to standard output when it is ready or cannot be,
and ends when its standard input does, so that it never outlives the process that started it.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
import threading
from pathlib import Path

from airflow_vectordb.local.pace import Pace
from airflow_vectordb.local.process import SETTINGS_VARIABLE
from airflow_vectordb.local.server import CannotServeError, Settings, configure_logging, leave, run


def _say(message: dict[str, str]) -> None:
    print(json.dumps(message), flush=True)


def main() -> None:
    """Serve until standard input ends."""
    given = json.loads(os.environ.pop(SETTINGS_VARIABLE))
    configure_logging(logging.INFO)
    stop = threading.Event()

    def watch() -> None:
        sys.stdin.read()
        stop.set()

    threading.Thread(target=watch, daemon=True).start()
    data = Path(given["data"]) if given["data"] else None
    settings = Settings(**{**given, "data": data, "pace": Pace(**given["pace"]) if given["pace"] else None})
    try:
        run(settings, lambda uri: _say({"uri": uri}), stop)
    except CannotServeError as error:
        _say({"error": str(error)})
        leave(1)
    finally:
        if settings.throwaway and settings.data is not None:
            # Whoever started this does it too, unless it was killed.
            shutil.rmtree(settings.data, ignore_errors=True)
    leave(0)


if __name__ == "__main__":
    main()
