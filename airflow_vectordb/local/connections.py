"""Limits on connections to the local server: their number, and how long each may keep it waiting.

uvicorn's own limits do not cover clients that send endless headers, or a few bytes and then nothing, or open
connections until none are left. The limits here are far beyond the needs of any client of the API.
"""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

from airflow_vectordb.local.guard import MAX_HEAD

if TYPE_CHECKING:
    # uvicorn's other protocol, H11Protocol, has the same attributes.
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as Protocol
else:
    Protocol = object

HEAD_SECONDS = 10.0
"""How long a request's line and headers may take, and a new connection to send the first of them."""

BODY_SECONDS = 60.0
"""How long a request's body may take."""

IDLE_SECONDS = 75
"""How long a connection is kept open between requests."""

# What uvicorn closes at the end of that does not go while the client reads nothing.
_IDLE_GRACE = 15.0

_MOST_CONNECTIONS = 512
_MOST_FILES = 4096

_LATE = b"408 Request Timeout"
_LARGE = b"431 Request Header Fields Too Large"
_FULL = b"503 Service Unavailable"


def max_connections() -> int:
    """Raise the limit of open files, up to a bound, and return how many of them may be connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft = most
    return _MOST_CONNECTIONS if soft == resource.RLIM_INFINITY else min(_MOST_CONNECTIONS, soft // 4)


class Waiting:
    """The connections whose client has the turn, in the order in which it got it, and when its time is up.

    :param most: how many connections there may be; beyond it, the one that has waited longest goes.
    :param clock: seconds that only go up.
    """

    def __init__(self, most: int, clock: Callable[[], float] = monotonic) -> None:
        self._most = most
        self._clock = clock
        self._until: dict[BoundedProtocol, float] = {}

    def enter(self, one: BoundedProtocol, seconds: float) -> None:
        self.leave(one)
        self._until[one] = self._clock() + seconds

    def leave(self, one: BoundedProtocol) -> None:
        self._until.pop(one, None)

    def make_room(self, connections: int) -> None:
        """Close the connection that has waited longest when there are too many; it may be the newest."""
        if connections > self._most:
            oldest = next(iter(self._until))
            self.leave(oldest)
            oldest.end(_FULL)

    def end_late(self) -> None:
        """Close connections whose time is up."""
        now = self._clock()
        for one in [one for one, until in self._until.items() if until <= now]:
            self.leave(one)
            one.end(_LATE)


class BoundedProtocol(Protocol):
    """These limits, as a mixin for one of uvicorn's protocols."""

    waiting: Waiting

    _phase = ""
    # Bytes that came since the last request or piece of a body did: headers, or what is around a body's chunks.
    _unread = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._enter("head", HEAD_SECONDS)
        self.waiting.make_room(len(self.connections))

    def connection_lost(self, exc: Exception | None) -> None:
        self.waiting.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        before = self._heard()
        super().data_received(data)
        self._unread = 0 if self._heard() != before else self._unread + len(data)
        if self._unread > MAX_HEAD and not self.transport.is_closing():
            self.end(_LARGE)
        else:
            self._note(idle=False)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._note(idle=True)

    def _unsupported_upgrade_warning(self) -> None:
        """Log nothing: such a request is answered as any other, without the libraries that the warning names."""

    def _heard(self) -> tuple[object, int]:
        """Return what changes when a request begins or a piece of its body comes."""
        return self.cycle, 0 if self.cycle is None else len(self.cycle.body)

    def _note(self, *, idle: bool) -> None:
        """Record whose turn it is: the client's, whose time is limited, or the server's."""
        if self.cycle is None or self.cycle.response_complete:
            self._enter("idle", IDLE_SECONDS + _IDLE_GRACE) if idle else self._enter("head", HEAD_SECONDS)
        elif self.cycle.more_body:
            self._enter("body", BODY_SECONDS)
        elif self._phase != "work":
            self._phase = "work"
            self.waiting.leave(self)

    def _enter(self, phase: str, seconds: float) -> None:
        if phase != self._phase:
            self._phase = phase
            self.waiting.enter(self, seconds)

    def end(self, status: bytes) -> None:
        """Close the connection, with the reason if no answer has begun.

        :param status: the HTTP status of that.
        """
        if self.transport.is_closing() or self.transport.get_write_buffer_size():
            self.transport.abort()
            return
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(
                b"HTTP/1.1 %b\r\nconnection: close\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n\r\n%b"
                % (status, len(status), status)
            )
        self.transport.close()


def bounded_protocol(waiting: Waiting, protocol: type[asyncio.Protocol] = AutoHTTPProtocol) -> type[Any]:
    """Return the protocol of one server's connections."""
    return type("Bounded", (BoundedProtocol, protocol), {"waiting": waiting})
