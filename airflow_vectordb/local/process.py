"""A local server in a separate process, for tests."""

from __future__ import annotations

import dataclasses
import json
import os
import selectors
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

from airflow_vectordb.local.pace import Pace
from airflow_vectordb.local.supervisor import kill_supervised, start_supervised, stop_supervised

__all__ = ["LocalMilvus", "LocalMilvusError"]

SETTINGS_VARIABLE = "AIRFLOW_VECTORDB_LOCAL_SETTINGS"

_GRACE = 5.0  # seconds


class LocalMilvusError(RuntimeError):
    """The local server did not start; the message has its error and the end of its log."""


class LocalMilvus:
    """Milvus's REST API v2 over an embedded Milvus Lite (or another Milvus), in a separate process.

    ::

        with LocalMilvus() as server:
            requests.post(f"{server.uri}/v2/vectordb/collections/list", json={},
                          headers={"Authorization": f"Bearer {server.token}"})

    The process ends with the block, or with the process that started it. It can be restarted after it was stopped; with
    ``data``, on the same data.

    :param data: the data directory; None for a new one that is removed at the end.
    :param token: the token that callers must send (``user:password`` or a key); None gives access to everyone on this
        machine. With a backend, the callers' token is passed on, and None leaves the check to the backend.
    :param host: the address to listen on; without a token only a loopback one.
    :param port: the port; 0 for a free one.
    :param start_timeout: seconds that the start may take.
    :param backend: ``http://host:port`` or ``https://host:port`` of a Milvus that speaks gRPC, instead of a data
        directory.
    :param allowed_hosts: host names that callers use besides ``host``, ``localhost`` and loopback addresses; others get
        HTTP 403.
    :param pace: how long flushes, builds and loads take: ``quick``, ``real`` (as on a cluster), ``immediate``, or a
        :class:`~airflow_vectordb.local.pace.Pace`; None for ``quick``, with a backend for ``immediate``.
    """

    def __init__(
        self,
        data: str | os.PathLike[str] | None = None,
        token: str | None = "root:local-secret",  # noqa: S107 - as public as this file
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        start_timeout: float = 60.0,
        backend: str | None = None,
        allowed_hosts: Sequence[str] = (),
        pace: Pace | str | None = None,
    ) -> None:
        if data is not None and backend is not None:
            raise ValueError("give data or backend, not both")
        self.token = token
        self._given_data = None if data is None else Path(data).resolve()
        self._host = host
        self._port = port
        self._start_timeout = start_timeout
        self._backend = backend
        self._allowed_hosts = list(allowed_hosts)
        self._pace = Pace.of(pace, backend=backend is not None)
        self._uri = ""
        self._pid = 0
        self._keeper: subprocess.Popen[bytes] | None = None
        self._own: Path | None = None
        self._log: IO[bytes] | None = None

    def __repr__(self) -> str:
        return f"LocalMilvus({self._uri or 'stopped'})"

    @property
    def uri(self) -> str:
        """Where it listens, ``http://127.0.0.1:PORT``.

        :raises LocalMilvusError: when it is not running.
        """
        if not self._uri:
            raise LocalMilvusError("the local server is not running")
        return self._uri

    @property
    def pid(self) -> int:
        """The id of its process.

        :raises LocalMilvusError: when it is not running.
        """
        if not self._uri:
            raise LocalMilvusError("the local server is not running")
        return self._pid

    @property
    def files(self) -> Path:
        """The folder from which its import jobs read files.

        :raises LocalMilvusError: when it is not running, or on a backend, which reads files of its own.
        """
        data = self._given_data or self._own
        if not self._uri or data is None:
            raise LocalMilvusError("the local server is not running on data of its own")
        return data / "files"

    def log(self) -> str:
        """Return its log so far: one line per request, and errors, without tokens or rows."""
        if self._log is None:
            return ""
        # Not read(): the server shares the file's position for writing.
        descriptor = self._log.fileno()
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode(errors="replace")

    def start(self) -> LocalMilvus:
        """Start it, and return once it answers requests.

        :raises LocalMilvusError: if it does not start, with the reason.
        """
        if self._keeper is not None:
            raise LocalMilvusError("the local server is running already")
        data = self._given_data
        if data is None and self._backend is None:
            data = self._own = Path(tempfile.mkdtemp(prefix="local-milvus-"))
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in stop()
        settings = {
            "data": None if data is None else os.fspath(data),
            "token": self.token,
            "host": self._host,
            "port": self._port,
            "throwaway": self._own is not None,
            "backend": self._backend,
            "allowed_hosts": self._allowed_hosts,
            "pace": self._pace and dataclasses.asdict(self._pace),
        }
        try:
            self._keeper = start_supervised(
                [sys.executable, "-m", "airflow_vectordb.local"],
                grace=_GRACE,
                remove=self._own,
                stdout=subprocess.PIPE,
                stderr=self._log,
                # In the environment, since all users of the machine can read arguments.
                env={**os.environ, SETTINGS_VARIABLE: json.dumps(settings)},
            )
            self._pid, self._uri = self._await_ready(self._keeper)
        except BaseException:
            self.stop()
            raise
        return self

    def _await_ready(self, keeper: subprocess.Popen[bytes]) -> tuple[int, str]:
        assert keeper.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(keeper.stdout, selectors.EVENT_READ)
            if not selector.select(self._start_timeout):
                raise LocalMilvusError(f"the local server was not ready within {self._start_timeout} s{self._tail()}")
        line = keeper.stdout.readline()
        message: dict[str, Any] = json.loads(line) if line else {}
        if "uri" not in message:
            raise LocalMilvusError(message.get("error") or f"the local server ended while it started{self._tail()}")
        return message["pid"], message["uri"]

    def _tail(self) -> str:
        lines = self.log().splitlines()[-20:]
        return "; the end of its log:\n" + "\n".join(lines) if lines else ""

    def stop(self) -> None:
        """Stop it; kill it if it does not end within a few seconds. A no-op if it is stopped."""
        self._end(stop_supervised)

    def kill(self) -> None:
        """End it like a crash (SIGKILL); acknowledged writes survive in the same data directory."""
        self._end(kill_supervised)

    def _end(self, end: Callable[[subprocess.Popen[bytes]], None]) -> None:
        keeper, self._keeper, self._uri, self._own = self._keeper, None, "", None
        if keeper is not None:
            end(keeper)
        if self._log is not None:
            self._log.close()
            self._log = None

    def __enter__(self) -> LocalMilvus:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()
