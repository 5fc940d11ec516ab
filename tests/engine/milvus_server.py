"""A real Milvus (2.3.5 standalone, from its wheel) on free ports, which never outlives the process that started it.

Run as a program it is the keeper: it starts the server in its own process group, and kills the whole group when its
standard input ends, however the process at the other end of that came to end.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

WHEEL = "milvus==2.3.5"
TOKEN = "root:Milvus"
START_TIMEOUT = 240.0

HOME = Path(__file__).parents[2] / ".engine"
"""Kept from one run to the next: the environment with the wheel, and the binaries that it unpacks."""

_PORTS = ("etcd", "root-coord", "proxy", "proxy-internal", "query-coord", "query-node")
_PORTS += ("index-coord", "index-node", "data-coord", "data-node")
# Segments that it merges while an index is built are built again: a build would take two or three times as long.
_SETTINGS = {"DATACOORD_COMPACTION_ENABLEAUTOCOMPACTION": "false"}
# The flag for etcd's port says where to find it, not where it listens.
_ETCD = """\
name: default
data-dir: {directory}/data/etcd.data
listen-client-urls: http://127.0.0.1:{client}
advertise-client-urls: http://127.0.0.1:{client}
listen-peer-urls: http://127.0.0.1:{peer}
initial-advertise-peer-urls: http://127.0.0.1:{peer}
initial-cluster: default=http://127.0.0.1:{peer}
log-outputs: [{directory}/logs/etcd.log]
"""


class CannotHaveError(Exception):
    """The wheel is not to be had here; the message says why."""


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Keep other test runs in this checkout from doing the same at the same time."""
    HOME.mkdir(exist_ok=True)
    with open(HOME / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def installed() -> Path:
    """The ``milvus-server`` command, installed first where it is not.

    :raises CannotHaveError: when it cannot be.
    """
    command = HOME / "venv" / "bin" / "milvus-server"
    with _alone():
        if not command.exists():
            _install(HOME / "venv")
    return command


def _install(venv: Path) -> None:
    shutil.rmtree(venv, ignore_errors=True)
    for step in (
        [sys.executable, "-m", "venv", os.fspath(venv)],
        [os.fspath(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", "--only-binary", ":all:", WHEEL],
    ):
        try:
            done = subprocess.run(step, capture_output=True, text=True, timeout=300, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CannotHaveError(f"{WHEEL} cannot be installed: {error}") from error
        if done.returncode:
            # Without the environment, the next run tries again.
            shutil.rmtree(venv, ignore_errors=True)
            said = (done.stderr or done.stdout).strip().splitlines()
            raise CannotHaveError(f"{WHEEL} cannot be installed: {said[-1] if said else 'no reason given'}")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for entry in sockets:
            entry.bind(("127.0.0.1", 0))
        return [int(entry.getsockname()[1]) for entry in sockets]
    finally:
        for entry in sockets:
            entry.close()


class MilvusServer:
    """One server with a data directory of its own, with users (``TOKEN`` is its root's).

    :param command: as of :func:`installed`.
    """

    def __init__(self, command: Path) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="run-", dir=HOME))
        (HOME / "bin").mkdir(exist_ok=True)
        # Half a gigabyte that it would unpack each time.
        (self.directory / "bin").symlink_to(HOME / "bin")
        (self.directory / "logs").mkdir()
        ports = dict(zip((*_PORTS, "peer"), _free_ports(len(_PORTS) + 1), strict=True))
        peer = ports.pop("peer")
        etcd = self.directory / "etcd.yaml"
        etcd.write_text(_ETCD.format(directory=self.directory, client=ports["etcd"], peer=peer))
        self.address = f"127.0.0.1:{ports['proxy']}"
        flags = [flag for name, port in ports.items() for flag in (f"--{name}-port", str(port))]
        self._output = open(self.directory / "logs" / "output", "wb")  # noqa: SIM115 - closed in stop()
        self.process = subprocess.Popen(
            [
                *(sys.executable, os.fspath(Path(__file__).resolve()), os.fspath(command)),
                *("--data", os.fspath(self.directory), "--authorization-enabled", "true", *flags),
            ],
            stdin=subprocess.PIPE,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            # The server reads any of its settings from here.
            env={**os.environ, **_SETTINGS, "ETCD_CONFIG_PATH": os.fspath(etcd)},
            start_new_session=True,
        )

    @property
    def uri(self) -> str:
        return f"http://{self.address}"

    def wait(self) -> None:
        """Return when it is healthy.

        :raises RuntimeError: when it is not in time, with the end of what it said.
        """
        from airflow_vectordb.local.engine.messages import milvus_pb2

        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(Exception):
                if self.ask("CheckHealth", milvus_pb2.CheckHealthRequest()).isHealthy:
                    return
            time.sleep(0.5)
        said = (self.directory / "logs" / "output").read_text(errors="replace")[-2000:]
        raise RuntimeError(f"Milvus was not healthy within {START_TIMEOUT} s: {said}")

    def ask(self, method: str, request: Any) -> Any:
        """Call the server over gRPC, past everything of ours but the connection."""
        from airflow_vectordb.local.engine.base import CREDENTIALS, DEADLINE
        from airflow_vectordb.local.engine.remote.rpc import RemoteRpc, Target

        CREDENTIALS.set(TOKEN.encode())
        DEADLINE.set(time.monotonic() + 30)
        rpc = RemoteRpc(Target(self.address, secure=False))
        try:
            return rpc(method, request)
        finally:
            rpc.close()
            DEADLINE.set(float("inf"))

    def signal(self, number: int) -> None:
        """Send a signal to the server itself, SIGSTOP for instance; not to its keeper."""
        output = (self.directory / "logs" / "output").read_text(errors="replace")
        match = re.search(r"Process:\s+(\d+)", output)
        assert match, output
        os.kill(int(match[1]), number)

    def stop(self) -> None:
        """End it with all that it started, and remove its data."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()
        self._output.close()
        shutil.rmtree(self.directory, ignore_errors=True)


def _keep(command: list[str]) -> None:
    with subprocess.Popen(command, stdin=subprocess.DEVNULL):
        sys.stdin.buffer.read()
        os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    _keep(sys.argv[1:])
