"""A server on a real socket that answers what a test tells it to, however wrong, and remembers all that it got."""

from __future__ import annotations

import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, Protocol

PREFIX = "/v2/vectordb/"
#: Seconds after which even what has no end is ended: a client that does not give up fails its test, and does not hang.
LONGEST = 60.0
_PHRASES = {200: "OK", 302: "Found", 307: "Temporary Redirect", 404: "Not Found", 503: "Service Unavailable"}


@dataclass(frozen=True)
class Request:
    """What arrived: ``path`` without the API's prefix, ``headers`` by lower-case name, the values as bytes."""

    path: str
    headers: Mapping[str, bytes]
    body: Any
    raw: bytes
    at: float
    connection: int


class Behaviour(Protocol):
    """What the server does about one request."""

    def play(self, peer: Peer) -> bool:
        """Do it; return whether the connection stays open."""


@dataclass(frozen=True)
class Peer:
    """One accepted connection, as behaviours see it."""

    sock: socket.socket
    stopped: threading.Event

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def reset(self) -> None:
        """Close with RST in place of FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


@dataclass(frozen=True)
class Answer:
    """An HTTP answer: mappings and lists become JSON, texts and bytes stay. ``Connection: close`` is meant."""

    body: Any = b""
    status: int = 200
    headers: Mapping[str, str | bytes] = field(default_factory=dict)
    delay: float = 0.0

    def play(self, peer: Peer) -> bool:
        if self.delay:
            peer.stopped.wait(self.delay)
        body = self.encoded()
        peer.send(self.head(len(body)) + body)
        return self.headers.get("Connection") != "close"

    def encoded(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return (self.body if isinstance(self.body, str) else json.dumps(self.body)).encode()

    def head(self, length: int | None) -> bytes:
        kind = "application/json" if isinstance(self.body, Mapping | list) else "text/html; charset=utf-8"
        headers: dict[str, str | bytes] = {"Content-Type": kind, **self.headers}
        if length is not None:
            headers["Content-Length"] = str(length)
        lines = [f"HTTP/1.1 {self.status} {_PHRASES.get(self.status, 'Whatever')}".encode()]
        lines += [name.encode() + b": " + (v if isinstance(v, bytes) else v.encode()) for name, v in headers.items()]
        return b"\r\n".join(lines) + b"\r\n\r\n"


@dataclass(frozen=True)
class CutOff:
    """Promise more than is sent, then close, by FIN or by RST. With ``sent`` empty: not a byte of an answer."""

    sent: bytes = b'{"code": 0, "da'
    reset: bool = False

    def play(self, peer: Peer) -> bool:
        if self.sent:
            peer.send(Answer({}).head(len(self.sent) + 100) + self.sent)
        if self.reset:
            peer.reset()
        return False


@dataclass(frozen=True)
class Silent:
    """Say nothing, until the client or the test gives up."""

    def play(self, peer: Peer) -> bool:
        with suppress(OSError):
            peer.sock.settimeout(LONGEST)
            peer.sock.recv(1)
        return False


@dataclass(frozen=True)
class Drip:
    """Send a byte now and then, without end: in the body, or already in the headers."""

    interval: float = 0.05
    in_head: bool = False

    def play(self, peer: Peer) -> bool:
        peer.send(b"HTTP/1.1 200 OK\r\nX-Drip: " if self.in_head else Answer({}).head(1_000_000))
        end = time.monotonic() + LONGEST
        while not peer.stopped.wait(self.interval) and time.monotonic() < end:
            peer.send(b" ")
        return False


@dataclass(frozen=True)
class Endless:
    """Send an answer that does not end, in some 30 MiB a second (the client's limit is more than that)."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    def play(self, peer: Peer) -> bool:
        peer.send(Answer({}, self.status, {**self.headers, "Transfer-Encoding": "chunked"}).head(None))
        chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        end = time.monotonic() + LONGEST
        while not peer.stopped.wait(0.002) and time.monotonic() < end:
            peer.send(chunk)
        return False


@dataclass(frozen=True)
class Raw:
    """Send bytes that need not be HTTP, and close."""

    data: bytes

    def play(self, peer: Peer) -> bool:
        peer.send(self.data)
        return False


def ok(data: Any = None, **beside: Any) -> Answer:
    """Succeed as Milvus does."""
    return Answer({"code": 0, "data": {} if data is None else data, **beside})


def error(code: int, message: str = "no luck", status: int = 200, **headers: str) -> Answer:
    """Fail as Milvus does; ``retry_after="3"`` becomes a header."""
    return Answer({"code": code, "message": message}, status, {k.replace("_", "-"): v for k, v in headers.items()})


def page(status: int = 200, text: str = "Welcome to nginx!", **headers: str) -> Answer:
    """Answer with an HTML page, as proxies do."""
    html = f"<!DOCTYPE html><html><head><title>{text}</title></head><body><h1>{text}</h1></body></html>"
    return Answer(html, status, {k.replace("_", "-"): v for k, v in headers.items()})


def http_date(seconds_from_now: float) -> str:
    """Write a time as HTTP headers do (whole seconds)."""
    return formatdate(time.time() + seconds_from_now, usegmt=True)


Script = Behaviour | Sequence[Behaviour] | Mapping[str, "Script"] | Callable[[Request], Behaviour]


class ScriptedServer:
    """
    Answer by a script: one behaviour for all requests; a list, one after the other; a mapping of paths (without the
    API's prefix) to either; or a function of the request. What no script foresees is answered with 599, and noted.

    :param script: see above
    :param tls: speak TLS
    :param listening: False: refuse connections until :meth:`listen`
    """

    def __init__(self, script: Script, *, tls: ssl.SSLContext | None = None, listening: bool = True) -> None:
        self._script = script
        self._tls = tls
        self._used: dict[int, int] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []
        self._open: set[socket.socket] = set()
        self.requests: list[Request] = []
        self.connections = 0
        self.unforeseen: list[str] = []
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}"
        if listening:
            self.listen()

    def __enter__(self) -> ScriptedServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        assert not self.unforeseen, f"requests that the script does not foresee: {self.unforeseen}"

    @property
    def paths(self) -> list[str]:
        """The paths of all requests, in their order."""
        return [request.path for request in self.requests]

    def bodies(self, path: str) -> list[Any]:
        """The bodies of the requests to a path."""
        return [request.body for request in self.requests if request.path == path]

    def received(self, number: int) -> bool:
        """Wait until so many requests were read, since a client that gives up may be ahead; whether it is so many."""
        end = time.monotonic() + LONGEST
        while len(self.requests) < number and time.monotonic() < end:
            threading.Event().wait(0.01)
        return len(self.requests) == number

    def listen(self) -> None:
        """Accept connections from now on."""
        self._listener.listen(50)
        self._start(self._accept)

    def close(self) -> None:
        """End everything: no thread and no socket is left."""
        self._stopped.set()
        with self._lock:
            for sock in (self._listener, *self._open):
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(5)
            assert not thread.is_alive(), "a thread of the scripted server does not end"

    def _start(self, target: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._stopped.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                if self._stopped.is_set():
                    sock.close()
                    return
                self.connections += 1
                self._open.add(sock)
                self._start(self._converse, sock, self.connections)

    def _converse(self, sock: socket.socket, number: int) -> None:
        plain = sock
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                sock = self._tls.wrap_socket(sock, server_side=True)
                with self._lock:
                    self._open.discard(plain)
                    self._open.add(sock)
            with sock.makefile("rb") as stream:
                while (request := self._read(stream, number)) is not None:
                    with self._lock:
                        self.requests.append(request)
                        behaviour = self._next(self._script, request)
                    if not behaviour.play(Peer(sock, self._stopped)):
                        return
        except OSError:  # the client has gone, or it does not speak TLS
            pass
        except ValueError:  # it does not speak HTTP
            Answer("Bad Request", 400).play(Peer(sock, self._stopped))
        finally:
            with self._lock:
                self._open -= {plain, sock}
            sock.close()
            plain.close()

    def _read(self, stream: Any, number: int) -> Request | None:
        if stream.peek(1)[:1] == b"\x16":  # TLS; a server that does not speak it says so in its own way
            raise ValueError("not HTTP")
        lines = []
        while (line := stream.readline(65536)) not in (b"\r\n", b""):
            lines.append(line)
        if not lines:
            return None
        method, path, _ = lines[0].decode().split(" ")
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(b":")
            headers[name.decode().lower()] = value.strip()
        length = int(headers.get("content-length", b"0"))
        body = stream.read(length)
        if len(body) < length:  # the client was killed
            return None
        assert method == "POST", method
        return Request(
            path=path.removeprefix(PREFIX),
            headers=headers,
            body=json.loads(body) if body else None,
            raw=b"".join(lines) + body,
            at=time.monotonic(),
            connection=number,
        )

    def _next(self, script: Script, request: Request) -> Behaviour:
        if isinstance(script, Mapping):
            if request.path in script:
                return self._next(script[request.path], request)
        elif isinstance(script, Sequence):
            used = self._used.get(id(script), 0)
            self._used[id(script)] = used + 1
            if used < len(script):
                return script[used]
        elif hasattr(script, "play"):
            return script
        elif (found := script(request)) is not None:
            return found
        self.unforeseen.append(f"{request.path} {request.body}")
        return Answer("unforeseen", 599)


#: Start a server by its script.
Serve = Callable[..., ScriptedServer]

__all__ = [
    "Answer",
    "Behaviour",
    "CutOff",
    "Drip",
    "Endless",
    "Peer",
    "Raw",
    "Request",
    "ScriptedServer",
    "Serve",
    "Silent",
    "error",
    "http_date",
    "ok",
    "page",
]
