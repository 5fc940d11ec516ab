"""A real Milvus (2.3.5 standalone, from its wheel), which never outlives the process that started it.

It has an environment, data and ports of its own, and a root whose password nobody else knows. Between it and the tests
is ``milvus_network.py``.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_vectordb.local.supervisor import start_supervised, stop_supervised

if TYPE_CHECKING:
    from pymilvus import MilvusClient

WHEEL = "milvus==2.3.5"
# It takes it for granted, and environments of Python 3.12 and later do not come with it.
BESIDE = "setuptools<81"
START_TIMEOUT = 240.0

HOME_VARIABLE = "AIRFLOW_VECTORDB_ENGINE_HOME"
HOME = Path(os.environ.get(HOME_VARIABLE) or Path(__file__).parents[2] / ".engine")
"""Kept from one run to the next: the environment with the wheel, and the binaries that it unpacks."""

_PORTS = ("etcd", "root-coord", "proxy", "proxy-internal", "query-coord", "query-node")
_PORTS += ("index-coord", "index-node", "data-coord", "data-node")
# Segments that it merges while an index is built are built again: a build would take two or three times as long.
# Its wrapper, a Python program, says which process it is into a file, where that would stay in a buffer.
_SETTINGS = {"DATACOORD_COMPACTION_ENABLEAUTOCOMPACTION": "false", "PYTHONUNBUFFERED": "1"}
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
    """Return the ``milvus-server`` command, installed first if it is not.

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
        [
            os.fspath(venv / "bin" / "python"),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--only-binary",
            ":all:",
            WHEEL,
            BESIDE,
        ],
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


def free_ports(count: int) -> list[int]:
    """Return ports of 127.0.0.1 that nothing listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for entry in sockets:
            entry.bind(("127.0.0.1", 0))
        return [int(entry.getsockname()[1]) for entry in sockets]
    finally:
        for entry in sockets:
            entry.close()


class MilvusServer:
    """One server with a data directory of its own, and with users.

    ``address`` and ``uri`` are where it speaks gRPC, ``token`` is what its root is let in with (``user:password``),
    ``directory`` is its own; files for it to import can be put there.

    :param command: as of :func:`installed`.
    :param storage: the Unix socket of an object storage, and settings by which it is to be used; None: a directory.
    """

    def __init__(self, command: Path, storage: tuple[Path, dict[str, str]] | None = None) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="run-", dir=HOME))
        (HOME / "bin").mkdir(exist_ok=True)
        # Half a gigabyte that it would unpack each time.
        (self.directory / "bin").symlink_to(HOME / "bin")
        (self.directory / "logs").mkdir()
        ports = dict(zip((*_PORTS, "peer"), free_ports(len(_PORTS) + 1), strict=True))
        peer = ports.pop("peer")
        hand_out, settings = "", dict(_SETTINGS)
        if storage is not None:
            (port,) = free_ports(1)
            hand_out = f"{port}={storage[0]}"
            settings |= {"COMMON_STORAGETYPE": "minio", "MINIO_ADDRESS": "127.0.0.1", "MINIO_PORT": str(port)}
            settings |= storage[1]
        etcd = self.directory / "etcd.yaml"
        etcd.write_text(_ETCD.format(directory=self.directory, client=ports["etcd"], peer=peer))
        flags = [flag for name, port in ports.items() for flag in (f"--{name}-port", str(port))]
        self.token = "root:Milvus"
        self._client: MilvusClient | None = None
        with (
            socket.create_server(("127.0.0.1", 0)) as listener,
            (self.directory / "logs" / "output").open("wb") as output,
        ):
            self.address = f"127.0.0.1:{listener.getsockname()[1]}"
            network = os.fspath(Path(__file__).with_name("milvus_network.py").resolve())
            self.process = start_supervised(
                [
                    *(sys.executable, "-I", network, str(listener.fileno()), str(ports["proxy"]), hand_out),
                    *(os.fspath(command), "--data", os.fspath(self.directory), "--authorization-enabled", "true"),
                    *flags,
                ],
                grace=0.0,
                remove=self.directory,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=[listener.fileno()],
                # The server reads any of its settings from here.
                env={**os.environ, **settings, "ETCD_CONFIG_PATH": os.fspath(etcd)},
            )

    @property
    def uri(self) -> str:
        return f"http://{self.address}"

    @property
    def pid(self) -> int:
        """The process of the server itself, whose signals hit etcd and all of its roles, as they are in one."""
        found = self._process()
        assert found, self._said()
        return found

    def _process(self) -> int | None:
        match = re.search(r"Process:\s+(\d+)", self._said())
        return int(match[1]) if match else None

    def _said(self) -> str:
        return (self.directory / "logs" / "output").read_text(errors="replace")

    def wait(self) -> None:
        """Return when it is healthy, and lets nobody in but with ``token``.

        :raises RuntimeError: when it is not in time, with the end of what it said.
        """
        from airflow_vectordb.local.engine.messages import milvus_pb2

        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(Exception):
                if self.ask("CheckHealth", milvus_pb2.CheckHealthRequest()).isHealthy:
                    break
            time.sleep(0.2)
        else:
            raise RuntimeError(f"Milvus was not healthy within {START_TIMEOUT} s: {self._said()[-2000:]}")
        self._shut()
        # It is healthy a little before its wrapper sees that, and says which process it is.
        while self._process() is None:
            if time.monotonic() > deadline:
                raise RuntimeError(f"Milvus did not say which process it is: {self._said()[-2000:]}")
            time.sleep(0.1)

    def _shut(self) -> None:
        """Take away the password that everybody knows, and that lets everybody in for the first seconds: this Milvus
        has no setting for another one to begin with.
        """
        from airflow_vectordb.local.engine.messages import milvus_pb2

        password = secrets.token_urlsafe(24)
        request = milvus_pb2.UpdateCredentialRequest(
            username="root",
            oldPassword=base64.b64encode(b"Milvus").decode(),
            newPassword=base64.b64encode(password.encode()).decode(),
        )
        self.ask("UpdateCredential", request)
        self.token = f"root:{password}"

    def ask(self, method: str, request: Any) -> Any:
        """Call the server over gRPC, past everything of ours but the connection."""
        from airflow_vectordb.local.engine.caller import CREDENTIALS, DEADLINE
        from airflow_vectordb.local.engine.remote.rpc import RemoteRpc, Target

        CREDENTIALS.set(self.token.encode())
        DEADLINE.set(time.monotonic() + 30)
        rpc = RemoteRpc(Target(self.address, secure=False))
        try:
            return rpc(method, request)
        finally:
            rpc.close()
            DEADLINE.set(float("inf"))

    @property
    def client(self) -> MilvusClient:
        """A client of pymilvus's, over gRPC, past everything of ours; made at first use."""
        if self._client is None:
            from pymilvus import MilvusClient

            self._client = MilvusClient(self.uri, token=self.token)
        return self._client

    def pending(self, collection: str, index: str) -> int:
        """How many rows the server itself has yet to index, asked by pymilvus; 0 when it is done.

        :param index: the name of the index, which must be there.
        """
        described = self.client.describe_index(collection, index, timeout=30)
        assert described is not None, f"no index {index} in {collection}"
        return int(described["pending_index_rows"])

    def signal(self, number: int) -> None:
        """Send a signal to the server itself."""
        os.kill(self.pid, number)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Let the server do and answer nothing (SIGSTOP) for the length of the block; connections stay open."""
        self.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it with all that it started, and remove its data."""
        if self._client is not None:
            self._client.close()
        stop_supervised(self.process)
