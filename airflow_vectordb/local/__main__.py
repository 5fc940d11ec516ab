"""The process behind :class:`~airflow_vectordb.local.LocalMilvus`; on the command line, use ``airflow-vectordb serve``.

It reads its settings from the environment, and writes one line of JSON to standard output when it is ready or fails.
"""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

from airflow_vectordb.local.pace import Pace
from airflow_vectordb.local.process import SETTINGS_VARIABLE
from airflow_vectordb.local.server import CannotServeError, Settings, configure_logging, leave, run


def _say(**message: Any) -> None:
    print(json.dumps(message), flush=True)


def main() -> None:
    """Serve until SIGTERM."""
    given = json.loads(os.environ.pop(SETTINGS_VARIABLE))
    configure_logging(logging.INFO)
    data = Path(given["data"]) if given["data"] else None
    pace = Pace(**given["pace"]) if given["pace"] else None
    try:
        run(Settings(**{**given, "data": data, "pace": pace}), lambda uri: _say(uri=uri, pid=os.getpid()))
    except CannotServeError as error:
        _say(error=str(error))
        leave(1)
    leave(0)


if __name__ == "__main__":
    main()
