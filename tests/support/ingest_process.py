"""Run as a program: ingests in processes of their own, to be killed.

For each line of stdin, JSON with the arguments, it forks a process that ingests by the hook, kills it after
``kill_after`` seconds unless that is null, and prints its exit status and how many seconds it took. The progress is in
the file ``state``; a line for each request that writes is in ``requests``.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

# Loaded by the first ingest otherwise, in each process.
import orjson  # noqa: F401
import requests  # noqa: F401
from airflow.sdk import ObjectStoragePath  # noqa: F401
from pyarrow import parquet  # noqa: F401

from airflow_vectordb.hooks.milvus import MilvusHook
from airflow_vectordb.rest import Client
from airflow_vectordb.rest.http.json import encode


def main() -> None:
    for line in sys.stdin:
        arguments = json.loads(line)
        kill_after = arguments.pop("kill_after")
        began = time.monotonic()
        child = os.fork()
        if not child:
            ingest(arguments)
        if kill_after is not None:
            time.sleep(kill_after)
            os.kill(child, signal.SIGKILL)
        print(json.dumps([os.waitpid(child, 0)[1], time.monotonic() - began]), flush=True)


def ingest(arguments: dict[str, Any]) -> None:
    state, requests_path = Path(arguments.pop("state")), arguments.pop("requests")
    count, send = arguments.pop("rows", None), Client.send
    log = os.open(requests_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def logged(client: Client, call: Any, **options: Any) -> Any:
        verb = call.path.removeprefix("entities/")
        if verb in ("insert", "upsert"):
            keys = [row.get("id", row.get("name")) for row in json.loads(encode(call.body))["data"]]
            os.write(log, (json.dumps([verb, keys]) + "\n").encode())
        return send(client, call, **options)

    def save(progress: dict[str, Any]) -> None:
        written = state.with_suffix(".new")
        written.write_text(json.dumps(progress))
        written.replace(state)

    Client.send = logged  # type: ignore[method-assign,assignment]
    progress = json.loads(state.read_text()) if state.exists() else None
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
