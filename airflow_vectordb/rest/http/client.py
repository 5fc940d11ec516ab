"""Calls over requests."""

from __future__ import annotations

import http.client
import ssl
from functools import cache
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_vectordb.rest import errors
from airflow_vectordb.rest.config import MilvusConfig
from airflow_vectordb.rest.driver import drive
from airflow_vectordb.rest.hosts import proxy_for
from airflow_vectordb.rest.http import transport
from airflow_vectordb.rest.http.call import Call
from airflow_vectordb.rest.http.flow import encode_body, log, request_flow
from airflow_vectordb.rest.http.response import RawResponse, as_outage, largest_answer, read_response
from airflow_vectordb.rest.http.transport import Rule, translate

if TYPE_CHECKING:
    import requests

T = TypeVar("T")


class Client:
    """
    Makes calls, one after the other, over kept-alive connections.

    Environment variables for proxies and CA bundles are respected, as ``requests`` does. ``.netrc`` is not, and
    redirects are not followed: the token must go to that server and nowhere else. Cookies are not kept.

    :param config: where the calls go
    :param server_confirmed: whether Milvus has answered there before: then a page in its place is an outage, not a
        wrong address
    """

    def __init__(self, config: MilvusConfig, *, server_confirmed: bool = False) -> None:
        self.config = config
        self._server_confirmed = server_confirmed
        self._session: requests.Session | None = None

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *error: object) -> None:
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
        :param until: deadline for the answer, by ``time.monotonic``; None: none
        :return: what the call returns
        :raises MilvusError: when the server refuses, or when it does not answer after all attempts
        """
        steps = request_flow(self.config, call, encode_body(self.config, call), retries=retries)
        return drive(steps, lambda body: self._answer(call, body, until), log)

    def _answer(self, call: Call[T], body: Any, until: float | None) -> T:
        try:
            answer = read_response(self._post(call, body, until), call, self.config)
        except errors.MilvusError as error:
            if self._server_confirmed:
                raise as_outage(error) from error.__cause__
            self._server_confirmed = error.code is not None  # a refusal is an answer, too
            raise
        self._server_confirmed = True
        return answer

    def _post(self, call: Call[Any], body: Any, until: float | None) -> RawResponse:
        import requests
        import urllib3

        left = transport.seconds_left(self.config, until)
        seconds = self.config.socket_timeout if left is None else left
        try:
            with self._open().post(
                self.config.url_of(call.path),
                data=body,
                timeout=(min(self.config.connect_timeout, seconds), seconds),
                verify=transport.ca_bundle(self.config),
                allow_redirects=False,
                stream=True,
            ) as response:
                headers = {name.lower(): value for name, value in response.headers.items()}
                return RawResponse(response.status_code, headers, _read(response, largest_answer(call)))
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            failure = translate(error, self.config, _rules())
            late = isinstance(failure, errors.AnswerTimeoutError) or isinstance(error, requests.exceptions.Timeout)
            if left is not None and late:
                failure = transport.after_deadline()
        raise failure  # without the library's error, which refers to the request

    def _open(self) -> requests.Session:
        if self._session is None:
            import requests

            from airflow_vectordb.rest.http.deadlines import DeadlineAdapter  # imports requests

            proxy = proxy_for(self.config.url)
            session = requests.Session()
            # It would also read .netrc, so the other settings of the environment are looked up here.
            session.trust_env = False
            if self.config.client_cert:
                transport.load_client_cert(transport.unverified_context(), self.config)  # for its errors
                session.cert = self.config.client_cert
            # Bytes: http.client would encode a header as Latin-1, and a password may have any character.
            session.headers.update({name: value.encode() for name, value in self.config.headers().items()})
            adapter = DeadlineAdapter()
            session.mount("http://", adapter)
            session.mount("https://", adapter)
            if proxy:
                session.proxies = {"all": proxy.url}
                adapter.for_proxy = proxy.headers
            # Cookies are neither kept nor sent again.
            session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
            # Otherwise requests processes even redirects that are not followed: it reads bodies whole, and fails on odd
            # URLs.
            session.get_redirect_target = lambda response: None  # type: ignore[assignment]
            self._session = session
        return self._session


def _read(response: requests.Response, largest: int) -> bytes:
    """Read an answer to its end, or until it is longer than it may be."""
    pieces: list[bytes] = []
    size = 0
    while size <= largest and (piece := response.raw.read1(1 << 16, decode_content=False)):
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)


@cache
def _rules() -> tuple[Rule, ...]:
    from requests import RequestException
    from requests import exceptions as of_requests
    from urllib3 import exceptions as of_urllib3

    return (
        Rule((FileNotFoundError, IsADirectoryError), transport.no_bundle, deep=True),
        Rule(OSError, transport.no_bundle, when=lambda error: "CA certificate" in str(error)),
        # Before TLS: the protocol of the proxy says nothing about Milvus's port.
        Rule(of_requests.ProxyError, transport.proxy_refuses),
        Rule(of_requests.SSLError, transport.no_bundle, when=_is_unreadable),
        Rule(ssl.SSLError, transport.tls, deep=True),
        Rule(of_requests.InvalidURL, transport.unusable_url),
        Rule(of_requests.SSLError, lambda error, _: errors.TlsError(str(error))),
        Rule(of_requests.ConnectTimeout, transport.no_connection),
        Rule((of_urllib3.NewConnectionError, of_urllib3.NameResolutionError), transport.unreachable, deep=True),
        Rule(TimeoutError, transport.no_answer),
        Rule((of_requests.ReadTimeout, of_urllib3.ReadTimeoutError), transport.no_answer, deep=True),
        Rule(
            http.client.HTTPException,
            lambda error, config: transport.not_http(str(error), config),
            when=lambda error: not isinstance(error, http.client.IncompleteRead | ConnectionError),
            deep=True,
        ),
        Rule(OSError, transport.unreadable, when=lambda e: e.errno is None and not isinstance(e, RequestException)),
    )


def _is_unreadable(error: Exception) -> bool:
    return any(isinstance(cause, PermissionError) for cause in transport.causes(error))


__all__ = ["Client"]
