"""Run as a program: ingests in processes of their own, to be killed.

For each line of stdin, JSON with the arguments, it forks a process that ingests by the hook, and prints its exit
status. With ``kill_after``, a number of requests and of seconds, the process kills itself: so many seconds after it has
begun that request (0: after it has begun the ingest). The progress is in the file ``state``; a line for each request
that writes is in ``requests``.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
from pathlib import Path
from threading import Timer
from typing import Any

# Loaded by the first ingest otherwise, in each process.
import orjson  # noqa: F401
import requests  # noqa: F401
from airflow.sdk import ObjectStoragePath
from pyarrow import parquet  # noqa: F401

from airflow_vectordb.hooks.milvus import MilvusHook
from airflow_vectordb.rest import Client
from airflow_vectordb.rest.http.json import encode


def main() -> None:
    # Reading the first file loads the file systems of all providers, and all plugins.
    with ObjectStoragePath(f"file://{__file__}").open("rb") as file:
        file.read(1)
    with os.fdopen(os.dup(1), "w") as statuses:
        os.dup2(2, 1)  # what is logged goes to stderr
        for line in sys.stdin:
            arguments = json.loads(line)
            child = os.fork()
            if not child:
                ingest(arguments)
            print(os.waitpid(child, 0)[1], file=statuses, flush=True)


def ingest(arguments: dict[str, Any]) -> None:
    state, requests_path = Path(arguments.pop("state")), arguments.pop("requests")
    count, send = arguments.pop("rows", None), Client.send
    kill_at, delay = arguments.pop("kill_after") or (None, 0.0)
    numbers = itertools.count()
    log = os.open(requests_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def begin() -> None:
        if next(numbers) == kill_at:
            Timer(delay, os.kill, (os.getpid(), signal.SIGKILL)).start()

    def logged(client: Client, call: Any, **options: Any) -> Any:
        verb = call.path.removeprefix("entities/")
        if verb in ("insert", "upsert"):
            keys = [row.get("id", row.get("name")) for row in json.loads(encode(call.body))["data"]]
            os.write(log, (json.dumps([verb, keys]) + "\n").encode())
            begin()
        return send(client, call, **options)

    def save(progress: dict[str, Any]) -> None:
        written = state.with_suffix(".new")
        written.write_text(json.dumps(progress))
        written.replace(state)

    Client.send = logged  # type: ignore[method-assign,assignment]
    progress = json.loads(state.read_text()) if state.exists() else None
    begin()
    try:
        with MilvusHook() as hook:
            hook.ingest(**arguments, rows=count and rows(count), progress=progress, save=save)
    except BaseException as error:  # noqa: BLE001
        print(repr(error), file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)


def rows(count: int) -> list[dict[str, Any]]:
    return [row(number) for number in range(count)]


def row(number: int) -> dict[str, Any]:
    return {"name": f'n"{number}', "vector": [number, 1, 0, 0] * 4}


if __name__ == "__main__":
    main()
