"""Calls over requests."""

from __future__ import annotations

import http.client
import os
import ssl
import time
from http.cookiejar import DefaultCookiePolicy
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_vectordb.rest import errors
from airflow_vectordb.rest.config import MilvusConfig
from airflow_vectordb.rest.driver import drive
from airflow_vectordb.rest.hosts import proxy_for
from airflow_vectordb.rest.http.call import Call
from airflow_vectordb.rest.http.flow import Request, log, request_flow
from airflow_vectordb.rest.http.response import RawResponse
from airflow_vectordb.rest.wording import duration

if TYPE_CHECKING:
    import requests

T = TypeVar("T")


class Client:
    """
    Makes calls, one after the other, over kept-alive connections.

    Environment variables for proxies and CA bundles are heeded as ``requests`` does; ``.netrc`` is not, redirects are
    not followed, since the token must go to that server and nowhere else, and cookies are not kept.

    :param config: where the calls go
    """

    def __init__(self, config: MilvusConfig) -> None:
        self.config = config
        self._session: requests.Session | None = None

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self.config!r})"

    def close(self) -> None:
        """Close all connections. A later call opens new ones."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def send(self, call: Call[T], *, retries: int | None = None, until: float | None = None) -> T:
        """
        Make a call.

        :param call: made by a function of ``airflow_vectordb.rest.indexes``, ``collections``, …
        :param retries: attempts after the first; None: the configured one
        :param until: when an answer is of no use any more, by ``time.monotonic``; None: never
        :return: what the call returns
        :raises MilvusError: when the server refuses, or when it does not answer after all attempts
        """
        steps = request_flow(self.config, call, retries=retries)
        return drive(steps, lambda request: request.read(self._post(request, until)), log)

    def _post(self, request: Request, until: float | None) -> RawResponse:
        import requests
        import urllib3

        now, seconds = time.monotonic(), self.config.socket_timeout
        useless = until is not None and until - now < seconds
        if until is not None and useless:
            seconds = max(until - now, 0.001)
        try:
            session = self._open()
            with session.post(
                request.url,
                data=request.body,
                # Bytes: http.client would encode a header as Latin-1, and a password may have any character.
                headers={name: value.encode() for name, value in request.headers.items()},
                timeout=(min(self.config.connect_timeout, seconds), seconds),
                verify=ca_bundle(self.config),
                allow_redirects=False,
                stream=True,
            ) as response:
                headers = {name.lower(): _text(value) for name, value in response.headers.items()}
                return RawResponse(
                    response.status_code, headers, *self._read(response, now + seconds, request.largest_answer)
                )
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            found = _translate(error, self.config)
            late = isinstance(found, errors.AnswerTimeoutError) or isinstance(error, requests.exceptions.Timeout)
            failure = no_use() if useless and late else found.with_context(redact=self.config.redact)
        raise failure  # without the library's error, which holds the request

    def _read(self, response: requests.Response, deadline: float, largest: int) -> tuple[bytes, bool]:
        # In pieces, so that a server that sends a byte now and then, or without end, is given up too.
        pieces: list[bytes] = []
        size = 0
        while piece := response.raw.read1(1 << 16, decode_content=False):
            pieces.append(piece)
            size += len(piece)
            if size > largest:
                return b"".join(pieces)[:largest], False
            if time.monotonic() > deadline:
                raise TimeoutError
        return b"".join(pieces), True

    def _open(self) -> requests.Session:
        if self._session is None:
            import requests

            from airflow_vectordb.rest.http.deadlines import PunctualAdapter

            proxy = proxy_for(self.config.url)
            session = requests.Session()
            # It would also read .netrc: what is wanted of the environment is looked up here instead.
            session.trust_env = False
            for scheme in ("http://", "https://"):
                session.mount(scheme, PunctualAdapter(proxy.headers if proxy else {}))
            if proxy:
                session.proxies = {"all": proxy.url}
            # Cookies are neither kept nor sent again.
            session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
            # Even redirects that are not followed are looked into otherwise: bodies read whole, odd URLs stumbled over.
            session.get_redirect_target = _nowhere  # type: ignore[assignment]
            self._session = session
        return self._session


def no_use() -> errors.AnswerTimeoutError:
    """Say that an answer that comes now is of no use any more."""
    return errors.AnswerTimeoutError("no answer before the deadline", hint="")


def ca_bundle(config: MilvusConfig) -> bool | str:
    """
    Find the certificates to go by: the configured ones, or those of the environment.

    :param config: where
    :return: a path; True: the usual ones; False: none are verified
    """
    if config.verify is not True:
        return config.verify
    return os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True


def _nowhere(response: Any) -> None:
    del response


def _text(value: str) -> str:
    # http.client reads Latin-1 where servers write UTF-8; as it is, a secret in it would not be recognised.
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value


def _translate(error: Exception, config: MilvusConfig) -> errors.MilvusError:
    import requests
    import urllib3

    chain = list(_chain(error))
    if any(isinstance(e, FileNotFoundError | IsADirectoryError) for e in chain) or "CA certificate" in str(error):
        return no_bundle(config)
    if isinstance(error, requests.exceptions.ProxyError):
        # Before TLS: what the proxy itself speaks says nothing about Milvus's port.
        return proxy_error()
    if isinstance(error, requests.exceptions.SSLError) and any(isinstance(e, PermissionError) for e in chain):
        return no_bundle(config)
    if tls := next((e for e in chain if isinstance(e, ssl.SSLError)), None):
        # The library is "SSL" for all that happens in a handshake.
        return no_bundle(config) if tls.library in ("X509", "PEM", "ASN1") else tls_error(tls)
    if isinstance(error, requests.exceptions.InvalidURL):
        return errors.ConnectError(str(error), transient=False)
    if isinstance(error, requests.exceptions.SSLError):  # a CA bundle that cannot be read, for instance
        return errors.TlsError(str(error))
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return errors.ConnectError(f"no connection within {duration(config.connect_timeout)}")
    if any(
        isinstance(e, urllib3.exceptions.NewConnectionError | urllib3.exceptions.NameResolutionError) for e in chain
    ):
        return errors.ConnectError(_reason(chain))
    if isinstance(error, TimeoutError) or any(
        isinstance(e, requests.exceptions.ReadTimeout | urllib3.exceptions.ReadTimeoutError) for e in chain
    ):
        return errors.AnswerTimeoutError(f"no answer within {duration(config.socket_timeout)}")
    if garbage := next((e for e in chain if _is_garbage(e)), None):
        return not_http(_text(str(garbage)), config)
    if isinstance(error, OSError) and not isinstance(error, requests.RequestException) and error.errno is None:
        return errors.NotMilvusError(str(error))
    # Without the library's words, which are not the other one's, and differ by a hair's breadth of time.
    return errors.BrokenAnswerError("the connection ended before the answer did")


def _is_garbage(error: BaseException) -> bool:
    return isinstance(error, http.client.HTTPException) and not isinstance(
        error, http.client.IncompleteRead | ConnectionError
    )


def not_http(found: str, config: MilvusConfig) -> errors.MilvusError:
    """
    Tell a port that speaks TLS to clients that do not from one that speaks something else.

    :param found: what came in place of HTTP, or words about it
    :param config: where
    """
    if found.startswith("\x15\x03") or "\\x15\\x03" in found:  # a TLS alert
        return errors.TlsError("this port speaks TLS, but the URL begins with http://")
    return errors.NotMilvusError(f"what answers does not speak HTTP: {config.sanitize_text(found, 200)}")


def proxy_error() -> errors.ConnectError:
    """Say that the way to the server ends at the proxy."""
    reason = "the proxy (HTTPS_PROXY, HTTP_PROXY) refuses or cannot be reached"
    return errors.ConnectError(reason, hint="Check it, or set NO_PROXY.")


def no_bundle(config: MilvusConfig) -> errors.TlsError:
    """
    Say that the CA bundle cannot be used.

    :param config: it, or else the environment, names the bundle
    """
    path = ca_bundle(config)
    return errors.TlsError(f"no usable CA bundle at {path if isinstance(path, str) else 'its usual place'!r}")


def tls_error(error: ssl.SSLError) -> errors.NoAnswerError:
    """
    Tell TLS failures that pass from those that do not.

    :param error: what the ssl module raised
    """
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError | ssl.SSLSyscallError):
        reason = f" ({error.reason})" if error.reason else ""
        return errors.BrokenAnswerError(f"the connection ended within the TLS handshake or answer{reason}")
    verification = getattr(error, "verify_message", None)
    return errors.TlsError(f"TLS: {verification or error.reason or error}")


def _chain(error: BaseException | None) -> Any:
    seen = set()
    waiting: list[Any] = [error]
    while waiting:
        current = waiting.pop(0)
        if not isinstance(current, BaseException) or id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        waiting += [current.__cause__, current.__context__, getattr(current, "reason", None), *current.args]


def _reason(chain: list[BaseException]) -> str:
    for error in chain:
        if isinstance(error, OSError) and error.strerror:
            return error.strerror
    return str(chain[-1]) or type(chain[-1]).__name__


__all__ = ["Client"]
