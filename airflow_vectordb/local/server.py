"""One local server from start to stop, in the process that calls :func:`run`."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import ipaddress
import logging
import os
import signal
import socket
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import uvicorn

from airflow_vectordb.local.app import build_app
from airflow_vectordb.local.connections import IDLE_SECONDS, Waiting, bounded_protocol, max_connections
from airflow_vectordb.local.engine.base import Engine
from airflow_vectordb.local.engine.paced import paced
from airflow_vectordb.local.errors import ApiError
from airflow_vectordb.local.guard import AllowedHosts
from airflow_vectordb.local.pace import Pace

_log = logging.getLogger(__name__)

# Seconds that requests in flight get when the server stops, and that the engine then gets to write out.
_GRACE = 1
_CLOSE_TIMEOUT = 0.6
_RECURSION = 6000

# Of glibc, in bytes: M_MMAP_THRESHOLD and M_TRIM_THRESHOLD.
_MALLOC_SETTINGS = {-3: 32 * 1024 * 1024, -1: 64 * 1024 * 1024}


class CannotServeError(Exception):
    """The server cannot be started; the message says why, for people."""


@dataclass(frozen=True)
class Settings:
    """What a server is started with.

    :param data: the data directory of an embedded Milvus Lite; None with ``backend``.
    :param token: what callers must send; None lets everybody on this machine in.
    :param throwaway: the data is removed at the end, and need not be on the disk before.
    :param backend: the URI of a Milvus that speaks gRPC, to be served in place of ``data``; it is told who calls.
    """

    data: Path | None
    token: str | None = field(default=None, repr=False)
    host: str = "127.0.0.1"
    port: int = 19530
    throwaway: bool = False
    backend: str | None = None
    allowed_hosts: Sequence[str] = ()
    pace: Pace | None = None


class _Server(uvicorn.Server):
    """uvicorn's server, with signals, readiness and slow clients handled here."""

    def __init__(self, config: uvicorn.Config, waiting: Waiting, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._waiting = waiting
        self._on_ready = on_ready

    async def on_tick(self, counter: int) -> bool:
        if counter % 10 == 0:
            self._waiting.end_late()
        return await super().on_tick(counter)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn would raise the signal again at the end, and the process would not end with status 0.
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except OSError as error:
            # Another process that was bound to the port too has begun to listen on it in the meantime.
            raise CannotServeError(f"cannot listen: {error.strerror or error}") from error
        if self.started:
            self._on_ready()


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach ``host``."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def run(settings: Settings, on_ready: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM.

    :param on_ready: called with the URI once requests are answered.
    :raises CannotServeError: when the address or the data directory cannot be had.
    """
    # Bodies may be nested 1024 deep, as deep as their parser takes them; what was taken must be readable later too.
    sys.setrecursionlimit(max(sys.getrecursionlimit(), _RECURSION))
    _keep_memory()
    if settings.token is None and not is_loopback(settings.host):
        raise CannotServeError(f"{settings.host} can be reached from other machines: give a token to serve there")
    listener = _bind(settings.host, settings.port)
    with listener:
        try:
            hosts = AllowedHosts.of(settings.host, listener.getsockname()[0], settings.allowed_hosts)
        except ValueError as error:
            raise CannotServeError(str(error)) from error
        engine = paced(_open(settings), settings.pace)
        try:
            _serve(settings, engine, hosts, listener, on_ready)
        finally:
            _close(engine)


def _keep_memory() -> None:
    """Keep the memory of one large body for the next, in place of getting it from the system again, page by page."""
    with contextlib.suppress(AttributeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        for setting, size in _MALLOC_SETTINGS.items():
            mallopt(setting, size)


def _bind(host: str, port: int) -> socket.socket:
    """Bind, but do not listen yet: whoever connects before the engine is open is refused, not kept waiting."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise CannotServeError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
    return listener


def _open(settings: Settings) -> Engine:
    if (settings.data is None) == (settings.backend is None):
        raise CannotServeError("give either a data directory or the URI of a backend")
    return _open_data(settings.data, settings.throwaway) if settings.data else _open_backend(settings.backend or "")


def _open_backend(uri: str) -> Engine:
    from airflow_vectordb.local.engine.remote import Target, remote_engine

    try:
        return remote_engine(Target.parse(uri))
    except ValueError as error:
        raise CannotServeError(f"cannot serve this backend: {error}") from error


def _open_data(data: Path, throwaway: bool) -> Engine:
    from airflow_vectordb.local.engine.lite import DataInUseError, lite_engine

    try:
        return lite_engine(data, throwaway=throwaway)
    except DataInUseError as error:
        raise CannotServeError(f"{data} is in use by another process; each data directory takes one server") from error
    except (OSError, ValueError, sqlite3.Error, ApiError) as error:
        raise CannotServeError(f"cannot open the data directory {data}: {error}") from error


def _serve(
    settings: Settings,
    engine: Engine,
    hosts: AllowedHosts,
    listener: socket.socket,
    on_ready: Callable[[str], None],
) -> None:
    port = listener.getsockname()[1]
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    most = max_connections()
    waiting = Waiting(most)
    config = uvicorn.Config(
        build_app(engine, settings.token, hosts),
        http=bounded_protocol(waiting),
        ws="none",
        # So many are accepted at once; more would be more open files than there may be.
        backlog=min(256, most),
        # Beyond what the protocol takes, which so is the one to refuse.
        h11_max_incomplete_event_size=1024 * 1024,
        proxy_headers=False,
        access_log=False,
        log_config=None,
        lifespan="off",
        timeout_graceful_shutdown=_GRACE,
        timeout_keep_alive=IDLE_SECONDS,
        server_header=False,
    )
    server = _Server(config, waiting, lambda: on_ready(f"http://{host}:{port}"))

    def end(signum: int, frame: FrameType | None) -> None:
        server.should_exit = True

    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, end)
    asyncio.run(server.serve([listener]))


def _close(engine: Engine) -> None:
    # Nothing acknowledged is lost when there is no time for it: it is in the engine's log on disk, and is replayed.
    closing = threading.Thread(target=engine.close, args=(_CLOSE_TIMEOUT,), daemon=True)
    closing.start()
    closing.join(_CLOSE_TIMEOUT)
    if closing.is_alive():
        _log.info("stopped without a last flush; the next start replays the engine's log")


def leave(status: int) -> None:
    """End the process now: threads that are still at work must not hold it up."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)


def configure_logging(level: int) -> None:
    """Log this package to standard error, and of the libraries beneath only what is wrong."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("airflow_vectordb").setLevel(level)
    logging.getLogger("uvicorn.error").addFilter(lambda record: not record.getMessage().startswith("Cancel "))
    # It logs each refusal with a stack trace, and values of rows in it; the caller is told anyway.
    logging.getLogger("milvus_lite").setLevel(logging.CRITICAL)
