"""Connections for ``requests`` on which a whole answer has to come in time, however slowly it drips.

A time-out of a socket is one for each read: a server that sends a byte of a header now and then holds its client for as
long as it likes. Here all reads of an answer share one time-out.

This module imports ``requests``; it is imported with the first call, not with a DAG file.
"""

from __future__ import annotations

import io
import socket
import time
from http.client import HTTPResponse
from typing import TYPE_CHECKING, Any, cast

from requests.adapters import HTTPAdapter  # noqa: TID253
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class _Reads(io.RawIOBase):
    """What comes from a socket; its time-out is one for all reads together."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self._raw = raw
        self._sock = sock
        timeout = sock.gettimeout()
        self._deadline = None if timeout is None else time.monotonic() + timeout

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        if self._deadline is not None:
            left = self._deadline - time.monotonic()
            if left <= 0:  # to a socket, 0 would mean something else
                raise TimeoutError("timed out")
            self._sock.settimeout(left)
        return cast("int | None", cast(Any, self._raw).readinto(buffer))

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Answer(HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        stream: Any = self.fp
        self.fp = io.BufferedReader(_Reads(stream.detach(), sock))


class _Connection(HTTPConnection):
    response_class = _Answer


class _TlsConnection(HTTPSConnection):
    response_class = _Answer


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


_POOLS = {"http": _Pool, "https": _TlsPool}


class PunctualAdapter(HTTPAdapter):
    """The usual adapter, with such connections; those through a SOCKS proxy stay as they are."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """
        Make the pools for a proxy.

        :param proxy: its URL
        """
        manager = super().proxy_manager_for(proxy, **kwargs)
        if not proxy.lower().startswith("socks"):
            manager.pool_classes_by_scheme = _POOLS
        return manager


__all__ = ["PunctualAdapter"]
