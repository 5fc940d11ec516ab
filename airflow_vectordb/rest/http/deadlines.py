"""Connections for ``requests`` with a deadline for the whole answer, and strict parsing of HTTP.

requests and urllib3 do neither. Their time-out applies to each read of a socket, so a server that sends a header byte
by byte can hold its client indefinitely; here all reads of an answer share one time-out. ``http.client`` also ignores
what aiohttp treats as errors (an invalid length, two lengths, incomplete headers), and takes an interim answer (102,
103) for the final one: with the plain adapter, one case of ``test_bad_servers.py`` and 23 of ``test_odd_http.py`` fail.

This module imports ``requests``, so it is imported by the first call and not by DAG files.
"""

from __future__ import annotations

import io
import re
import socket
import ssl
import time
from collections.abc import Mapping
from http.client import HTTPException, HTTPMessage, HTTPResponse, IncompleteRead, parse_headers
from typing import TYPE_CHECKING, Any

from requests.adapters import HTTPAdapter  # noqa: TID253
from urllib3.connection import HTTPConnection, HTTPSConnection

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

#: Characters of a header; aiohttp's limit.
_LONGEST_LINE = 8190


class _Reads(io.RawIOBase):
    """The data from a socket, with one time-out for all reads together."""

    def __init__(self, raw: Any, sock: socket.socket) -> None:
        self._raw = raw
        self._sock = sock
        timeout = sock.gettimeout()
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self.ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        if self._deadline is not None:
            left = self._deadline - time.monotonic()
            if left <= 0:  # 0 means non-blocking for a socket
                raise TimeoutError("timed out")
            self._sock.settimeout(left)
        found: int | None = self._raw.readinto(buffer)
        self.ended = self.ended or found == 0
        return found

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        stream: Any = self.fp
        self._reads = _Reads(stream.detach(), sock)
        self.fp = io.BufferedReader(self._reads)

    def begin(self) -> None:
        super().begin()
        if self._reads.ended:
            raise IncompleteRead(b"")  # in the middle of the headers
        if problem := _problem(self.headers):
            raise HTTPException(problem)
        if self.length == 0:  # answers with this status have no body
            self.chunked = False
            del self.headers["transfer-encoding"]

    def _read_status(self) -> tuple[str, int, str]:
        while True:
            found: tuple[str, int, str] = super()._read_status()  # type: ignore[misc]
            if not 102 <= found[1] < 200:  # the base class skips 100; after 101, the protocol is no longer HTTP
                return found
            parse_headers(self.fp)

    def _read_next_chunk_size(self) -> int:
        line = self.fp.readline(_LONGEST_LINE)
        size = line.partition(b";")[0].strip()
        if not re.fullmatch(rb"[0-9a-fA-F]{0,15}", size):
            raise HTTPException(f"a chunk of {size[:100].decode('latin-1')!r} bytes")
        return int(size, 16)  # empty: the base class treats it as the end of the connection


def _problem(headers: HTTPMessage) -> str | None:
    if headers.defects:
        return "a header without name or value"
    for name, value in headers.items():
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) or re.search(r"[\x00\r\n]", value):
            return f"the header {name[:100]!r}"
        if len(name) + len(value) > _LONGEST_LINE:
            return f"a header {name[:100]!r} of {len(value):,} characters"
    lengths = headers.get_all("content-length", [])
    if len(lengths) > 1 or any(not re.fullmatch(r"[0-9]{1,18}", length) for length in lengths):
        return f"Content-Length {', '.join(lengths)}"
    if lengths and "transfer-encoding" in headers:
        return "both Content-Length and Transfer-Encoding"
    return None


class _Connection(HTTPConnection):
    response_class = _Response


class _TlsConnection(HTTPSConnection):
    response_class = _Response

    def send(self, data: Any) -> None:
        try:
            super().send(data)
        except ssl.SSLEOFError as error:  # for urllib3, as without TLS: the server may have said why, so read on
            raise BrokenPipeError(str(error)) from error


class DeadlineAdapter(HTTPAdapter):
    """The standard adapter, with such connections."""

    #: Headers for the proxy.
    for_proxy: Mapping[str, str] = {}

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        """Return the pool of connections to a server."""
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        pool.ConnectionCls = _TlsConnection if pool.scheme == "https" else _Connection
        return pool

    def proxy_headers(self, proxy: str) -> dict[str, str]:
        """Return the headers for a proxy."""
        return dict(self.for_proxy)
