"""Run as a program: one try of a task that replaces an index, in a process of its own, which stops where it is told to,
to be killed there.

Usage: ``replacing_task.py STORE TRY STOP ARGUMENTS``, with, if it comes back from the triggerer, the method and its
arguments as JSON on standard input.

- STORE: a file, in place of Airflow's task state store; it is there for the next try, as that is.
- TRY: its number.
- STOP: as ``after indexes/drop`` or ``before collections/load``: says ``stopped`` there, and goes no further; or
  ``never``.
- ARGUMENTS: the operator's, as JSON.

It says one line of JSON at the end: ``{"result"}`` or, when it leaves for the triggerer, ``{"trigger", "resume"}``.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from airflow.sdk.exceptions import TaskDeferred

from airflow_vectordb.operators.index import CreateIndexOperator
from airflow_vectordb.rest.http.client import Client


class Store:
    """What a task has of Airflow's task state store, in a file that is either the old or the new one."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def get(self, key: str, default: Any = None) -> Any:
        return self._all().get(key, default)

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        del retention
        self._write({**self._all(), key: value})

    def delete(self, key: str) -> None:
        self._write({name: value for name, value in self._all().items() if name != key})

    def _all(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.path.read_text()) if self.path.exists() else {}
        return found

    def _write(self, content: dict[str, Any]) -> None:
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(content))
        new.replace(self.path)


def stop_at(place: str) -> None:
    """Go no further than to the first request of a path: to its beginning, or to its answer."""
    when, _, path = place.partition(" ")
    send = Client.send

    def sending(client: Any, call: Any, **options: Any) -> Any:
        if (when, path) == ("before", call.path):
            _stop()
        answer = send(client, call, **options)
        if (when, path) == ("after", call.path):
            _stop()
        return answer

    Client.send = sending  # type: ignore[method-assign,assignment]


def _stop() -> None:
    say("stopped")
    time.sleep(600)
    os._exit(3)  # nobody came


def say(what: Any) -> None:
    sys.stdout.write("\n" + json.dumps(what) + "\n")
    sys.stdout.flush()


def main(store: str, try_number: str, stop: str, arguments: str) -> None:
    ti = SimpleNamespace(try_number=int(try_number), dag_id="d", run_id="r", task_id="index", map_index=-1)
    context: Any = {"ti": ti, "task_state_store": Store(store)}
    task = CreateIndexOperator(task_id="index", **json.loads(arguments))
    stop_at(stop)
    given = sys.stdin.read()
    try:
        if given:
            method, kwargs = json.loads(given)
            result = task.resume_execution(method, kwargs, context)
        else:
            result = task.execute(context)
    except TaskDeferred as deferred:
        say({"trigger": deferred.trigger.serialize(), "resume": [deferred.method_name, deferred.kwargs]})
    else:
        say({"result": result})


if __name__ == "__main__":
    main(*sys.argv[1:])
