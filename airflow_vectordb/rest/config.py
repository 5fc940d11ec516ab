"""The configuration of a connection to Milvus."""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from airflow_vectordb.rest import DEFAULT_RETRIES, DEFAULT_TIMEOUT, LONGEST_TIMEOUT
from airflow_vectordb.rest.errors import InvalidParametersError
from airflow_vectordb.rest.hosts import host_problem
from airflow_vectordb.rest.redaction import redactor_of
from airflow_vectordb.rest.text import sanitize_text

#: Seconds by which the socket's time-out exceeds ``Request-Timeout``, so that the server's own 408 can arrive.
SOCKET_ALLOWANCE = 5.0
#: The longest time-out for opening a connection, in seconds.
CONNECT_TIMEOUT = 10.0


@dataclass(frozen=True)
class MilvusConfig:
    """
    One Milvus or Zilliz Cloud instance, as one user sees it.

    :param url: base URL, as ``http://localhost:19530``; a path in it is kept (a gateway's prefix)
    :param token: ``user:password`` or an API key; None: no ``Authorization`` header
    :param database: database of calls that name none; None: the server's default
    :param verify: True: verify TLS certificates; False: do not; a string: path of a CA bundle (PEM)
    :param timeout: seconds that the server gets for one call
    :param retries: attempts after the first
    :param client_cert: absolute path of a PEM file with a client certificate and its unencrypted private key, for https
        (mutual TLS); None: none
    :raises InvalidParametersError: with all problems
    """

    url: str
    token: str | None = field(default=None, repr=False)
    database: str | None = None
    verify: bool | str = True
    timeout: float = DEFAULT_TIMEOUT
    retries: int = DEFAULT_RETRIES
    client_cert: str | None = None

    def __post_init__(self) -> None:
        problems = [*_url_problems(self.url)]
        # Surrogates cannot be encoded.
        if self.token is not None and (not self.token or re.search(r"[\x00-\x1f\x7f\ud800-\udfff]", self.token)):
            problems.append("the token is empty or has control characters (a line break at its end, perhaps)")
        if isinstance(self.timeout, bool) or not 0 < self.timeout <= LONGEST_TIMEOUT:
            problems.append(f"timeout must be a number of seconds above 0 and at most 1e9, not {self.timeout!r}")
        if isinstance(self.retries, bool) or self.retries < 0:
            problems.append(f"retries must be 0 or more, not {self.retries!r}")
        if self.client_cert is not None and not (isinstance(self.client_cert, str) and os.path.isabs(self.client_cert)):
            # Without quoting it: it may be the key itself.
            problems.append(
                "client_cert must be the absolute path of a PEM file with a certificate and its private key"
            )
        elif self.client_cert and self.url.lower().startswith("http://"):
            problems.append("client_cert needs TLS: begin the URL with https://, or set `secure`")
        if problems:
            raise InvalidParametersError(problems, "Milvus endpoint")
        object.__setattr__(self, "url", self.url.rstrip("/"))

    def url_of(self, path: str) -> str:
        """Return the URL of a call, whose path is as ``indexes/create``."""
        return f"{self.url}/v2/vectordb/{path}"

    def headers(self) -> dict[str, str]:
        """Return the headers of every call, ``Authorization`` among them."""
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "gzip, deflate",
            "Accept-Type-Allow-Int64": "true",
            "Content-Type": "application/json",
            # Whole seconds: the server does not read fractions.
            "Request-Timeout": str(math.ceil(self.timeout)),
        }
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        return headers

    @cached_property
    def socket_timeout(self) -> float:
        """The time-out for an answer, in seconds."""
        return math.ceil(self.timeout) + SOCKET_ALLOWANCE

    @property
    def connect_timeout(self) -> float:
        """The time-out for opening a connection, in seconds."""
        # Shorter than the time-out of the answer, so that the two differ.
        return min(CONNECT_TIMEOUT, 0.8 * self.socket_timeout)

    def serialize(self) -> Any:
        """Refuse to be serialized as an XCom, for which Airflow calls this: the token would be readable."""
        raise TypeError("a MilvusConfig contains the token, so a task must not return it: return its url or database")

    def redact(self, text: str) -> str:
        """Remove the token from a text, since servers may repeat it."""
        return text if self.token is None else redactor_of(self.token)(text)

    def sanitize_text(self, text: str, longest: int) -> str:
        """Sanitize a server's text for a message: see :func:`~airflow_vectordb.rest.text.sanitize_text`."""
        return sanitize_text(text, longest) if self.token is None else redactor_of(self.token).shown(text, longest)


def _url_problems(url: str) -> list[str]:
    if "@" in url:  # without quoting it: the text before @ may be a secret
        return ["user and password belong in login and password of the connection, not into the host or URL"]
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        return [f"{url!r} is not a URL: {error}"]
    problems = []
    if parts.scheme not in ("http", "https"):
        problems.append(f"the URL must start with http:// or https://, not {parts.scheme or 'nothing'}://")
    if not host or re.search(r"\s", url) or ("[" in parts.netloc and ":" not in host):
        problems.append(f"{url!r} has no usable host name")
    elif problem := host_problem(host):
        problems.append(f"the host {host!r} cannot be used: {problem}")
    if port == 0:
        problems.append("port 0 is not a port")
    if parts.query or parts.fragment:
        problems.append("the URL must not have a query or fragment")
    return problems
