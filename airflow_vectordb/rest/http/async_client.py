"""Calls over aiohttp."""

from __future__ import annotations

import asyncio
import os
import ssl
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from airflow_vectordb.rest import errors
from airflow_vectordb.rest.config import MilvusConfig
from airflow_vectordb.rest.driver import adrive
from airflow_vectordb.rest.hosts import Proxy, proxy_for
from airflow_vectordb.rest.http import transport
from airflow_vectordb.rest.http.call import Call
from airflow_vectordb.rest.http.flow import encode_body, log, request_flow
from airflow_vectordb.rest.http.gate import Gate
from airflow_vectordb.rest.http.response import SMALL_ANSWERS, RawResponse, largest_answer, read_response
from airflow_vectordb.rest.http.timeouts import TimeLimit, Timeouts
from airflow_vectordb.rest.http.transport import Rule, translate

if TYPE_CHECKING:
    import aiohttp

T = TypeVar("T")

#: The maximum number of connections of a session.
MOST_CONNECTIONS = 100
#: Bytes of an answer that is parsed in the event loop; larger ones are parsed in a thread.
LARGEST_IN_LOOP = 16 * 1024
LARGEST_PACKED_IN_LOOP = 1024


class AsyncClient:
    """
    Makes calls from an event loop; otherwise as :class:`~airflow_vectordb.rest.http.client.Client`.

    :param config: where the calls go
    :param session: another client's session to use, which stays that one's to close; None: one of its own
    """

    def __init__(self, config: MilvusConfig, *, session: Session | None = None) -> None:
        self.config = config
        self._own = session is None
        self._session = Session(config) if session is None else session
        #: The latest poll, and its body.
        self._polled: tuple[Call[Any] | None, Any] = (None, None)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"AsyncClient({self.config!r})"

    async def close(self) -> None:
        """Close all connections. A later call opens new ones."""
        if self._own:
            await self._session.close()

    async def send(self, call: Call[T], *, retries: int | None = None, until: float | None = None) -> T:
        """Make a call, as :meth:`Client.send <airflow_vectordb.rest.http.client.Client.send>` does."""
        body = self._polled[1] if call is self._polled[0] else self._encode(call)
        steps = request_flow(self.config, call, body, retries=retries)
        return await adrive(steps, lambda body: self._answer(call, body, until), log)

    def _encode(self, call: Call[Any]) -> Any:
        """Return the body of a call; remember that of a poll, which a wait makes again and again."""
        import aiohttp

        body = encode_body(self.config, call)
        if call.path in SMALL_ANSWERS:
            copy = bytes(memoryview(body))  # what orjson returns holds 4 KiB, which thousands of waits would keep
            self._polled = call, aiohttp.BytesPayload(copy)
            return self._polled[1]
        return body

    async def _answer(self, call: Call[T], body: Any, until: float | None) -> T:
        import aiohttp

        try:
            reply = await self._session.post(self.config.url_of(call.path), body, largest_answer(call), until)
        except (aiohttp.ClientError, OSError, asyncio.TimeoutError) as error:
            failure = translate(error, self.config, _rules(self._session.proxy))
        else:
            size = len(reply.body)
            if size > LARGEST_PACKED_IN_LOOP and (size > LARGEST_IN_LOOP or "content-encoding" in reply.headers):
                return await asyncio.to_thread(read_response, reply, call, self.config)
            return read_response(reply, call, self.config)
        raise failure  # without the library's error, which refers to the request


class Session:
    """The connections to one server, which clients for different databases can share."""

    def __init__(self, config: MilvusConfig) -> None:
        self.config = config
        self._http: aiohttp.ClientSession | None = None
        self.proxy: Proxy | None = None
        #: Shared by all requests.
        self._options: dict[str, Any] = {}
        # Waiting for a free connection does not count: the time-out begins when the request has one.
        self._gate = Gate(MOST_CONNECTIONS)
        self._timeouts = Timeouts()
        self._opening = asyncio.Lock()

    async def close(self) -> None:
        """Close all connections. A later call opens new ones."""
        if self._http is not None:
            http, self._http = self._http, None
            self._timeouts.close()
            await http.close()

    async def post(self, url: str, body: Any, largest: int, until: float | None) -> RawResponse:
        """
        Make one request; read the answer to its end, or until it is longer than ``largest`` bytes.

        :param until: when an answer is of no use any more, by ``time.monotonic``; None: never
        :raises aiohttp.ClientError: when there is no whole answer; so do OSError and asyncio.TimeoutError
        :raises MilvusError: when it cannot be sent, or the answer is of no use any more
        """
        http = self._http or await self._open()
        if not self._gate.try_enter():
            await self._gate.enter(until)
        answered: bool | None = None
        left = transport.seconds_left(self.config, until)
        try:
            with TimeLimit(self._timeouts, self.config.socket_timeout if left is None else left):
                response = await http.post(url, data=body, **self._options)
                try:
                    content = response.content
                    # Most answers arrive together with their headers.
                    data = content.read_nowait() if content.is_eof() else await _read(content, largest)
                finally:
                    if not response.closed:  # already closed when read to the end
                        response.close()
            answered = True
            # aiohttp's headers are case-insensitive.
            return RawResponse(response.status, response.headers, data)
        except (asyncio.TimeoutError, TimeoutError):
            if left is not None:
                raise transport.after_deadline() from None
            answered = False
            raise
        except Exception:
            answered = True  # an error shows that the server does not hang
            raise
        finally:
            self._gate.leave(answered)

    async def _open(self) -> aiohttp.ClientSession:
        async with self._opening:
            if self._http is None:
                self._http = await self._new()
            return self._http

    async def _new(self) -> aiohttp.ClientSession:
        # Loading certificates and reading proxies take tens of milliseconds, which should not block the event loop.
        tls = await asyncio.to_thread(_tls, self.config)
        self.proxy = await asyncio.to_thread(proxy_for, self.config.url)
        import aiohttp

        # Headers of the session are cheaper than the same headers with each request.
        headers = self.config.headers()
        self._options = {"allow_redirects": False}
        if self.proxy is not None:
            # Per request: aiohttp would send the session's headers, and so the token, to the proxy of a tunnel too.
            self._options |= {"headers": headers, "proxy": self.proxy.url}
            if self.config.url.lower().startswith("https"):  # tunnelled: the proxy sees only the host
                self._options["proxy_headers"] = self.proxy.headers
            else:
                headers |= self.proxy.headers
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self.config.connect_timeout)
        connector = aiohttp.TCPConnector(ssl=tls, limit=MOST_CONNECTIONS)
        # trust_env would also read .netrc, so proxies are looked up here.
        return aiohttp.ClientSession(
            headers=headers if self.proxy is None else None,
            timeout=timeout,
            connector=connector,
            trust_env=False,
            # Do not decompress here, because of decompression bombs: see http/response.py.
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        )


async def _read(content: aiohttp.StreamReader, largest: int) -> bytes:
    """Read an answer to its end, or until it is longer than it may be."""
    pieces: list[bytes] = []
    size = 0
    while size <= largest and not content.at_eof():
        pieces.append(await content.readany())
        size += len(pieces[-1])
    return b"".join(pieces)


def _tls(config: MilvusConfig) -> ssl.SSLContext | bool:
    if not config.url.lower().startswith("https"):
        return True
    context = transport.unverified_context() if config.verify is False else _verifying_context(config)
    transport.load_client_cert(context, config)
    return context


def _verifying_context(config: MilvusConfig) -> ssl.SSLContext:
    from requests.utils import DEFAULT_CA_BUNDLE_PATH

    # The bundles that requests uses, in its order.
    bundle = transport.ca_bundle(config)
    bundle = bundle if isinstance(bundle, str) else DEFAULT_CA_BUNDLE_PATH
    directory = os.path.isdir(bundle)
    try:
        return ssl.create_default_context(cafile=None if directory else bundle, capath=bundle if directory else None)
    except OSError as error:
        raise FileNotFoundError(error.errno, f"no usable CA bundle: {error.strerror}", bundle) from error


def _rules(proxy: Proxy | None) -> tuple[Rule, ...]:
    import aiohttp

    return (
        # Before TLS: the protocol of the proxy says nothing about Milvus's port.
        Rule(aiohttp.ClientConnectorError, transport.proxy_refuses, when=lambda error: _is_of(proxy, error)),
        Rule(ssl.SSLError, transport.tls, when=lambda error: not isinstance(error, aiohttp.ClientError), deep=True),
        Rule(aiohttp.ClientSSLError, lambda error, _: errors.TlsError(f"TLS: {error}")),
        Rule(FileNotFoundError, transport.no_bundle),
        Rule((aiohttp.ClientProxyConnectionError, aiohttp.ClientHttpProxyError), transport.proxy_refuses),
        Rule(aiohttp.ConnectionTimeoutError, transport.no_connection),
        Rule(aiohttp.ClientConnectorError, transport.unreachable),
        Rule(aiohttp.ClientResponseError, lambda error, config: transport.not_http(error.message, config)),
        Rule(aiohttp.InvalidURL, transport.unusable_url),
        Rule((asyncio.TimeoutError, TimeoutError), transport.no_answer),
        Rule(OSError, transport.unreadable, when=lambda error: type(error) is OSError and error.errno is None),
    )


def _is_of(proxy: Proxy | None, error: aiohttp.ClientConnectorError) -> bool:
    if proxy is None:
        return False
    parts = urlsplit(proxy.url)
    return (error.host, error.port) == (parts.hostname, parts.port or (443 if parts.scheme == "https" else 80))


__all__ = ["AsyncClient", "Session"]
