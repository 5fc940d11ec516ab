"""An Airflow in a process of its own, with a database of its own, in which many DAGs are parsed and run.

Starting one takes longer than running a DAG. So there is one for all tests, which ask it to call functions of
``tests.support``: it reads ``[FUNCTION, ARGUMENTS, ENVIRONMENT]`` as lines of JSON, and writes what they return, or a
text that says what they raised, as ``[WHETHER IT WORKED, VALUE]``. What Airflow and the tasks print goes to a file.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.support.serving import end_with_parent

ROOT = Path(__file__).resolve().parents[2]


class AirflowProcess:
    """
    The process, as the tests see it.

    :param home: where it has its files
    :param environment: beside what there is of ours but Airflow's own variables
    """

    def __init__(self, home: Path, environment: Mapping[str, str]) -> None:
        self.home = home
        self._log = (home / "log.txt").open("w+")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "_AIRFLOW"))}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.airflow_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            cwd=home,
            env={**inherited, "PYTHONPATH": str(ROOT), "AIRFLOW_HOME": str(home), **environment},
            preexec_fn=end_with_parent,
        )

    def call(self, function: str, /, *arguments: Any, **environment: str) -> tuple[Any, str]:
        """
        Have a function called, and return what it returns, and what was printed meanwhile.

        :param function: as ``module.function`` of ``tests.support``
        :param arguments: JSON
        :param environment: variables that are set meanwhile
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        began = self._log.seek(0, os.SEEK_END)
        self._process.stdin.write(json.dumps([function, arguments, environment]) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        self._log.seek(began)
        printed = self._log.read()
        assert answer, f"Airflow's process ended: {printed}"
        worked, value = json.loads(answer)
        assert worked, printed + value
        return value, printed

    def __enter__(self) -> AirflowProcess:
        return self

    def __exit__(self, *_: object) -> None:
        # It has nothing to put in order.
        self._process.kill()
        self._process.communicate()
        self._log.close()


def main() -> None:
    """Serve calls until there are no more."""
    gc.set_threshold(100_000)  # Airflow's objects are many, and stay
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        for line in sys.stdin:
            function, arguments, environment = json.loads(line)
            module, _, name = function.rpartition(".")
            with patch.dict(os.environ, environment):
                try:
                    answer = [True, getattr(import_module(f"tests.support.{module}"), name)(*arguments)]
                except Exception:  # noqa: BLE001 - whoever called it fails
                    answer = [False, traceback.format_exc()]
            sys.stdout.flush()
            print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
