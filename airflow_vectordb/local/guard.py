"""Access control: what is refused on every path, before the body of a request is read.

Any web page that a user opens can reach servers on the user's machine. Browsers send the origin of a request, and the
host name that it was sent to; both are checked, with or without a token. No answer allows other origins to read it, so
preflights fail.
"""

from __future__ import annotations

import base64
import binascii
import functools
import hmac
import ipaddress
import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass

import orjson
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from airflow_vectordb.local.engine.caller import CREDENTIALS
from airflow_vectordb.local.errors import ApiError

MAX_BODY = 128 * 1024 * 1024
"""The most bytes that a request body may have. Milvus itself sets no bound, only to what becomes of a body."""

MAX_HEAD = 64 * 1024
"""The most bytes that the request line and the headers may have."""

_log = logging.getLogger("airflow_vectordb.local.requests")

_AUTHORITY = re.compile(r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9_.-]{1,255})(?::([0-9]{1,5}))?", re.ASCII | re.IGNORECASE)
_PORTS = {"http": 80, "https": 443}
# A request may have at most one of each: with two, it would be ambiguous which one counts.
_ONCE = frozenset(
    (b"authorization", b"content-length", b"host", b"origin", b"sec-fetch-dest", b"sec-fetch-mode", b"sec-fetch-site")
)
# Pages load only resources of this server, and cannot be framed.
_PAGE_HEADERS = [
    (
        b"content-security-policy",
        b"default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
        b"img-src 'self' data:; frame-ancestors 'none'",
    ),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
]
_CHALLENGE = (b"www-authenticate", b'Basic realm="airflow-vectordb", charset="UTF-8"')
_CLOSE = (b"connection", b"close")


@dataclass(frozen=True)
class AllowedHosts:
    """The allowed host names of a server: the given ones, and always those of the loopback interface.

    :param names: host names and IP addresses, without ports.
    :param any_address: whether every IP address is one too: for a server that listens on all of its machine's. It is
        names that lead a page's requests elsewhere, not addresses.
    """

    names: frozenset[str] = frozenset()
    any_address: bool = False

    @classmethod
    def of(cls, host: str, address: str, more: Iterable[str] = ()) -> AllowedHosts:
        """Return the names of a server.

        :param host: the address or name that it was asked to listen on.
        :param address: the IP address that it listens on.
        :param more: further names.
        :raises ValueError: for one that is no host name or IP address alone.
        """
        names = set()
        for name in more:
            match = _AUTHORITY.fullmatch(f"[{name}]" if name.count(":") > 1 and not name.startswith("[") else name)
            if match is None or match[2] is not None:
                raise ValueError(f"{name!r} is no host name: give it without scheme, port and path")
            names.add(_normalize(match[1]))
        bound = {_normalize(host), _normalize(address)}
        return cls(frozenset(names | bound), ipaddress.ip_address(address).is_unspecified)

    def __contains__(self, host: str) -> bool:
        name = _normalize(host)
        if name in self.names or name == "localhost":
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return self.any_address or address.is_loopback


def _normalize(host: str) -> str:
    name = host.lower().removeprefix("[").removesuffix("]").removesuffix(".")
    try:
        return ipaddress.ip_address(name).compressed
    except ValueError:
        return name


def check_headers(method: str, headers: list[tuple[bytes, bytes]], hosts: AllowedHosts, token: bytes | None) -> bytes:
    """Refuse a forbidden request, and return the credentials of others.

    :param headers: its headers, names in lower case.
    :param token: what callers must send; None lets everybody in that gets here.
    :raises ApiError: HTTP 400 for an ambiguous request, 403 for one of another page or to another host, 431 for
        headers that are too large, 401 for one without the token.
    """
    given: dict[bytes, bytes] = {}
    size, chunked = 0, False
    for name, value in headers:
        size += len(name) + len(value)
        if name in _ONCE:
            if name in given:
                raise _twice(name)
            given[name] = value
        elif name == b"transfer-encoding":
            if value.lower() != b"chunked":
                raise _ambiguous("the request has a Transfer-Encoding other than chunked")
            chunked = True
    if size > MAX_HEAD:
        raise ApiError(1102, f"the request headers exceed {MAX_HEAD} bytes: parameter too large", http_status=431)
    if chunked and b"content-length" in given:
        raise _ambiguous("the request has both a Content-Length and a Transfer-Encoding")
    _check_host(given.get(b"host"), given.get(b"origin"), hosts)
    _check_site(method, given)
    header = given.get(b"authorization", b"")
    credentials = _credentials(header)
    if token is not None and not _matches(credentials, token, basic=header[:6].lower() == b"basic "):
        raise _unauthenticated()
    return credentials


def _ambiguous(detail: str) -> ApiError:
    return ApiError(1100, f"{detail}: invalid parameter", http_status=400)


def _unauthenticated(why: str = "") -> ApiError:
    return ApiError(1800, f"user hasn't authenticated{why}", http_status=401)


def _twice(name: bytes) -> ApiError:
    if name == b"authorization":
        return _unauthenticated(": the request has two Authorization headers")
    return _ambiguous(f"the request has two headers {name.decode().title()}")


def _forbidden(detail: str) -> ApiError:
    # Not 65535: with this status, that would mean a privilege that the user lacks.
    return ApiError(1100, f"this local server does not answer {detail}", http_status=403)


def _check_host(host: bytes | None, origin: bytes | None, hosts: AllowedHosts) -> None:
    if host is None:
        raise _ambiguous("the request has no header Host")
    name, port = _authority(host.decode("latin-1"))
    if not _is_allowed(hosts, name):
        shown = name or host[:100].decode("latin-1")
        raise _forbidden(f"to the name {shown!r}: call it by its address, or allow the name (serve --allow-host NAME)")
    if origin is None:
        return
    scheme, _, authority = origin.decode("latin-1").lower().partition("://")
    default = _PORTS.get(scheme)
    origin_name, origin_port = _authority(authority)
    same = _normalize(origin_name) == _normalize(name) and (origin_port or default) == (port or default)
    if default is None or not same:
        raise _forbidden(f"requests of other web pages, and this one is of {origin[:100].decode('latin-1')!r}")


# Callers use few names, and parsing one as an address is the slowest part.
@functools.lru_cache(256)
def _is_allowed(hosts: AllowedHosts, name: str) -> bool:
    return bool(name) and name in hosts


def _authority(text: str) -> tuple[str, int | None]:
    """Return name and port; the name is empty if it is invalid."""
    match = _AUTHORITY.fullmatch(text)
    return ("", None) if match is None else (match[1], None if match[2] is None else int(match[2]))


def _check_site(method: str, given: dict[bytes, bytes]) -> None:
    """Refuse requests from other pages, as reported by the browser, except links to a page here."""
    site = given.get(b"sec-fetch-site", b"none").lower()
    if site in (b"same-origin", b"none"):
        return
    opened = (given.get(b"sec-fetch-mode"), given.get(b"sec-fetch-dest")) == (b"navigate", b"document")
    if not (method in ("GET", "HEAD") and opened):
        raise _forbidden("requests of other web pages")


def _credentials(header: bytes) -> bytes:
    """Return the caller's token: from basic credentials, after ``Bearer`` and one space, or bare."""
    # The raw bytes, since non-ASCII characters would be decoded as Latin-1.
    if header[:6].lower() == b"basic ":
        try:
            return base64.b64decode(header[6:].strip(), validate=True)
        except binascii.Error:
            return b""
    # Any other spelling of Bearer counts as part of the token, so that does not match.
    return header.removeprefix(b"Bearer ")


def _matches(given: bytes, token: bytes, *, basic: bool) -> bool:
    if basic and b":" not in token:
        # A browser asks for user and password; an API key may be either of them.
        given = given.removesuffix(b":") if given.endswith(b":") else given.removeprefix(b":")
    return hmac.compare_digest(given, token)


class Guard:
    """Applies these checks to an application.

    :param token: what callers must send, ``user:password`` or a key; None lets everybody on this machine in.
    """

    def __init__(self, app: ASGIApp, hosts: AllowedHosts, token: str | None) -> None:
        self._app = app
        self._hosts = hosts
        self._token = None if token is None else token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            # There are no web sockets, and nothing to do for the lifespan.
            return
        method, headers = scope["method"], scope["headers"]
        more = list(_PAGE_HEADERS) if method in ("GET", "HEAD") else []
        # Milvus answers it without authentication. The answer's headers allow no other origin.
        options = method == "OPTIONS"
        try:
            credentials = check_headers(method, headers, self._hosts, None if options else self._token)
        except ApiError as error:
            _log.info("refused %d code=%d %s", error.http_status, error.code, error.message)
            if error.http_status == 401 and method == "GET":
                more.append(_CHALLENGE)
            # A client that is still sending would not see the answer.
            if any(name == b"expect" for name, _ in headers) or not await discard_body(receive):
                more.append(_CLOSE)
            content = orjson.dumps({"code": error.code, "message": error.message})
            answer = Response(content, error.http_status, media_type="application/json; charset=utf-8")
            await answer(scope, receive, _adding(more, send))
            return
        if options:
            more += [] if await discard_body(receive) else [_CLOSE]
            await Response(status_code=204)(scope, receive, _adding(more, send))
            return
        CREDENTIALS.set(credentials)
        if any(name == b"upgrade" for name, _ in headers):
            # Answered as if no upgrade were requested, but the parser stops reading.
            more.append(_CLOSE)
        await self._app(scope, receive, _adding(more, send) if more else send)


def _adding(headers: list[tuple[bytes, bytes]], send: Send) -> Send:
    async def adding(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], *headers]}
        await send(message)

    return adding


async def discard_body(receive: Receive) -> bool:
    """Read a body and discard it.

    :return: whether it came completely, and is not larger than allowed.
    """
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return False
        size += len(message.get("body", b""))
        if size > MAX_BODY:
            return False
        if not message.get("more_body", False):
            return True
