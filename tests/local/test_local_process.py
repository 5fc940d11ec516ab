"""The server as a process: how it starts and ends, what survives, who else can reach it."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import requests

from airflow_vectordb.local import LocalMilvus, LocalMilvusError
from tests.support.local_api import SCHEMA, Api
from tests.support.serving import announced, serve

pytestmark = pytest.mark.slow  # each starts a server

Connect = Callable[[LocalMilvus], Api]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


# --- airflow-vectordb serve ---


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_serve_announces_itself_and_stops_cleanly(tmp_path: Path, signum: int) -> None:
    token = "root:p@ss/wörd: x"
    with serve("--data", str(tmp_path), "--port", "0", AIRFLOW_VECTORDB_TOKEN=token) as process:
        lines = announced(process)
        uri = next(word for word in lines[0].split() if word.startswith("http://127.0.0.1:"))
        assert "(REST only, no gRPC: pymilvus cannot connect)" in lines[0]
        # The connection says what the server wants, and where that is, but not what it is.
        assert "the one in AIRFLOW_VECTORDB_TOKEN" in lines[-4]
        assert shlex.split(lines[-3]) == [
            "export",
            f"AIRFLOW_CONN_MILVUS_DEFAULT=milvus://root:PASSWORD@{uri.removeprefix('http://')}",
        ]
        assert not any("p@ss" in line or "p%40ss" in line for line in lines)
        # A client that keeps its connection open does not keep the server from ending.
        with requests.Session() as session:
            headers = {"Authorization": f"Bearer {token}".encode()}
            answer = session.post(f"{uri}/v2/vectordb/collections/list", json={}, headers=headers, timeout=60)
            assert answer.json() == {"code": 0, "data": []}
            assert token.encode() not in Path(f"/proc/{process.pid}/cmdline").read_bytes()
            process.send_signal(signum)
            _, errors = process.communicate(timeout=60)
        assert process.returncode == 0
        # Requests are logged; nothing else is worth a word, and least of all the token.
        assert [line for line in errors.splitlines() if "collections/list 200 code=0" not in line] == []


@pytest.mark.parametrize("token", ["root:p@ss/wörd: 'x'", "kéy", None])
def test_serve_says_a_token_once_and_in_no_command(tmp_path: Path, token: str | None) -> None:
    given = [] if token is None else ["--token", token]
    with serve("--data", str(tmp_path), "--port", "0", *given) as process:
        lines = announced(process)
        uri = lines[0].split()[4]
        connection = urlsplit(shlex.split(lines[-3])[1].partition("=")[2])
        assert (connection.scheme, f"http://{connection.hostname}:{connection.port}") == ("milvus", uri)
        user, password = unquote(connection.username or ""), unquote(connection.password or "")
        assert (f"{user}:{password}" if user else password) == (token or "")
        rest = "\n".join([*lines[:-3], *lines[-2:]])
        # In words for the form where there is a token, else as a command.
        command = shlex.split(lines[-1])
        if token is None:
            assert command == [
                *("airflow", "connections", "add", "milvus_default", "--conn-type", "milvus"),
                *("--conn-host", "127.0.0.1", "--conn-port", str(connection.port)),
            ]
        else:
            assert password not in rest
            assert unquote(rest) == rest
            assert "airflow connections" not in rest
            assert f"host 127.0.0.1, port {connection.port}" in lines[-1]
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=60)
        assert (output, errors) == ("", "")


def test_serve_stops_cleanly_while_it_is_at_work(tmp_path: Path) -> None:
    rows = ",".join(f'{{"id":{i},"vector":[{",".join(["0.5"] * 256)}]}}' for i in range(12_000))
    with serve("--data", str(tmp_path), "--port", "0") as process:
        uri = announced(process)[0].split()[4]
        collection = {"collectionName": "busy", "dimension": 256}
        assert requests.post(f"{uri}/v2/vectordb/collections/create", json=collection, timeout=60).json()["code"] == 0

        with contextlib.closing(HTTPConnection(urlsplit(uri).netloc, timeout=60)) as inserting:
            body = f'{{"collectionName":"busy","data":[{rows}]}}'
            inserting.request("POST", "/v2/vectordb/entities/insert", body, {"Content-Type": "application/json"})
            # More than fits between the two: it has read most of it, and has yet to answer.
            process.send_signal(signal.SIGTERM)
            answer = json.loads(inserting.getresponse().read())
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    # Either it was done in time, or the caller was told that the server went away.
    assert answer["code"] in (0, 2), answer
    assert "Traceback" not in errors
    with LocalMilvus(tmp_path, token=None) as again:
        body = {"collectionName": "busy", "outputFields": ["count(*)"]}
        (count,) = requests.post(f"{again.uri}/v2/vectordb/entities/query", json=body, timeout=60).json()["data"]
        assert count["count(*)"] in ((12_000,) if answer["code"] == 0 else (0, 12_000))


def _caught(pid: int) -> int:
    """The signals that a process has handlers for, as a bit mask."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in status if line.startswith("SigCgt:")), 16)


def test_serve_stops_during_its_start(tmp_path: Path) -> None:
    with serve("--data", str(tmp_path), "--port", "0") as process:
        # As soon as it minds the signal at all; it is not up yet then by far.
        while not _caught(process.pid) & 1 << (signal.SIGTERM - 1):
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=60)
        assert (process.returncode, output, errors) == (0, "", "")


def test_serve_beyond_loopback_wants_a_token(tmp_path: Path) -> None:
    with serve("--data", str(tmp_path), "--host", "0.0.0.0", "--port", "0") as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "token" in errors
    assert "Traceback" not in errors


def test_serve_says_that_a_port_is_taken(tmp_path: Path, server: LocalMilvus) -> None:
    port = server.uri.rpartition(":")[2]
    with serve("--data", str(tmp_path), "--port", port) as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in errors
    assert "Traceback" not in errors


def test_serve_says_that_the_data_directory_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with serve("--data", str(tmp_path / "file"), "--port", "0") as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "cannot open the data directory" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("arguments", [[], ["--data", "d", "--port", "http"], ["--data", "d", "--port", "65536"]])
def test_serve_explains_its_arguments(arguments: list[str]) -> None:
    with serve(*arguments) as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert errors.startswith("usage: ")


# --- LocalMilvus ---


def test_it_ends_surely_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, connect: Connect) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    with LocalMilvus(token=None) as running:
        # Without a token everybody on this machine is let in.
        assert connect(running).ok("databases/list") == ["default"]
        pid, uri = running.pid, running.uri
        assert os.listdir(tmp_path)
    assert os.listdir(tmp_path) == []
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(requests.ConnectionError):
        requests.post(f"{uri}/v2/vectordb/collections/list", json={}, timeout=60)
    with pytest.raises(LocalMilvusError, match="not running"):
        _ = running.uri


def test_it_ends_when_whoever_started_it_is_killed(tmp_path: Path) -> None:
    script = (
        "import os, signal\n"
        "from airflow_vectordb.local import LocalMilvus\n"
        "print(LocalMilvus().start().pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False, env=environment
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    deadline = time.monotonic() + 60
    while Path(f"/proc/{int(done.stdout)}").exists() or os.listdir(tmp_path):
        assert time.monotonic() < deadline, os.listdir(tmp_path)
        time.sleep(0.05)


def test_a_data_directory_takes_one_server(tmp_path: Path) -> None:
    data = tmp_path / "new" / "data"
    with LocalMilvus(data):
        assert stat.S_IMODE(data.stat().st_mode) == 0o700
        second = LocalMilvus(data)
        with pytest.raises(LocalMilvusError, match="in use by another process"):
            second.start()
        with pytest.raises(LocalMilvusError, match="not running"):
            _ = second.pid
        with serve("--data", str(data), "--port", "0") as process:
            _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert errors == (
        f"airflow-vectordb serve: {data} is in use by another process; each data directory takes one server\n"
    )


def test_a_start_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    with pytest.raises(LocalMilvusError, match=r"not ready within 0\.05 s"):
        LocalMilvus(tmp_path, start_timeout=0.05).start()
    with LocalMilvus(tmp_path):
        pass


def test_the_engine_cannot_be_reached_past_the_token(server: LocalMilvus) -> None:
    """The server process listens on its one port, and on nothing else, neither TCP nor Unix sockets."""
    inodes = set()
    for descriptor in Path(f"/proc/{server.pid}/fd").iterdir():
        try:
            target = os.readlink(descriptor)
        except FileNotFoundError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    listening = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            columns = line.split()
            if columns[3] == "0A" and columns[9] in inodes:
                listening.append(int(columns[1].rpartition(":")[2], 16))
    assert listening == [int(server.uri.rpartition(":")[2])]
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        columns = line.split()
        accepting = int(columns[3], 16) & 0x10000
        assert not (columns[6] in inodes and accepting), line


# --- what survives ---


def test_everything_survives_a_restart_and_a_crash(
    tmp_path: Path, connect: Connect, rows: list[dict[str, Any]]
) -> None:
    index = {"fieldName": "v", "indexName": "mine", "metricType": "L2", "indexType": "HNSW", "params": {"M": 24}}
    params = {"shardsNum": 2, "consistencyLevel": "Strong"}

    def seen(api: Api) -> dict[str, Any]:
        return {
            "collection": api.ok("collections/describe", collectionName="kept"),
            "index": api.ok("indexes/describe", collectionName="kept", indexName="mine"),
            "stats": api.ok("collections/get_stats", collectionName="kept"),
            "rows": api.ok("entities/query", collectionName="kept"),
            "hits": api.ok("entities/search", collectionName="kept", annsField="v", data=[[3, 1, 0, 0]], limit=3),
            "aliases": api.ok("aliases/list"),
            "databases": [api.ok("databases/describe", dbName=name) for name in api.ok("databases/list")],
            "state": api.ok("collections/get_load_state", collectionName="released"),
            "collections": api.ok("collections/list"),
        }

    running = LocalMilvus(tmp_path, pace="immediate").start()
    try:
        api = connect(running)
        api.ok("databases/create", dbName="lab", properties={"a": "b"})
        api.ok(
            "collections/create",
            collectionName="kept",
            schema=SCHEMA,
            description="what it is for",
            params=params,
            indexParams=[index, {"fieldName": "s"}],
        )
        api.ok("collections/create", collectionName="released", dimension=4)
        api.ok("collections/release", collectionName="released")
        api.ok("collections/create", collectionName="dropped", dimension=4)
        api.ok("collections/drop", collectionName="dropped")
        api.ok("aliases/create", collectionName="kept", aliasName="other")
        api.ok("entities/insert", collectionName="kept", data=rows[:6])
        api.ok("collections/flush", collectionName="kept")
        # Some of it is only in the engine's log.
        api.ok("entities/insert", collectionName="kept", data=rows[6:])
        api.ok("entities/delete", collectionName="kept", filter="id == 0")
        before = seen(api)
        assert len(before["rows"]) == 9
        for end in (running.stop, running.kill):
            end()
            running.start()
            assert seen(connect(running)) == before
    finally:
        running.stop()


def test_serve_says_that_it_is_rest_only() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "airflow_vectordb.cli", "serve", "--help"], capture_output=True, text=True, check=True
    )
    assert "It speaks REST only, no gRPC" in " ".join(told.stdout.split())
    # Airflow would hide each Milvus in a log as a password.
    assert "root:local-secret" in told.stdout
    assert "root:Milvus" not in told.stdout
    assert LocalMilvus().token == "root:local-secret"
    assert repr(LocalMilvus()) == "LocalMilvus(stopped)"
