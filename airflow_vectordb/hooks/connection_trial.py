"""What the Test button of the Connections page does, and how it says what it found.

Somebody waits in front of the form: so there is one attempt, an end to all of it, and words that name the form's
fields. Operators word the same errors for logs (``rest/errors.py``).
"""

from __future__ import annotations

import os
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from queue import Empty, SimpleQueue
from typing import Any
from urllib.parse import urlsplit

from airflow_vectordb.hooks.connection import ConnectionLike, bundle_of, config_from_connection
from airflow_vectordb.hooks.connection_fields import EXTRA_FIELDS, STANDARD_FIELDS
from airflow_vectordb.hooks.connection_verdict import explain, is_other_protocol
from airflow_vectordb.rest.config import MilvusConfig
from airflow_vectordb.rest.errors import (
    BrokenAnswerError,
    ConnectError,
    InvalidParametersError,
    MilvusError,
    NoAnswerError,
    NotMilvusError,
)
from airflow_vectordb.rest.text import sanitize_text
from airflow_vectordb.rest.wording import duration

#: Seconds for all of it, looking up the host's name included.
LONGEST = 6.0
#: Seconds for an answer; less, so that what is reported is what happened, and not only that it took too long.
LONGEST_ANSWER = 4.0
#: Seconds for a look at what else a port speaks.
LONGEST_LOOK = 1.0

_LABELS = {field.name: field.label for field in (*STANDARD_FIELDS, *EXTRA_FIELDS)}


def try_connection(connection: ConnectionLike, database: str | None = None) -> tuple[bool, str]:
    """
    Try a connection.

    :param connection: as it is in the form
    :param database: in place of the connection's schema field; None: that one
    :return: whether it works, and what was reached or what is wrong; no secret is in it
    """
    from airflow.sdk.log import mask_secret

    problems: list[str] = []
    config = None
    try:
        config = config_from_connection(connection, database)
    except InvalidParametersError as error:
        problems += error.problems
    bundle = bundle_of(connection)
    if bundle is not None and ("\0" in bundle or not os.access(bundle, os.R_OK)):
        problems.append(
            "extra `verify` must be true, false or the path of a CA bundle, and there is no file "
            f"{sanitize_text(bundle, 100)!r} here that can be read (it has to be where connections are tested, and on "
            "the workers)"
        )
    if config is None or problems:
        return False, _listed(problems)
    if config.token:
        mask_secret(config.token)
    return _Trial(config, connection.host or "", connection.login or "").within(LONGEST)


def connection_in_environment(conn_id: str) -> Any:
    """
    Read a connection that Airflow cannot read.

    The API server puts what is in the form into an environment variable, as a URI. With a port that no URI may have
    it cannot be read again, and Airflow says that it is not defined.

    :param conn_id: its id
    :return: the connection, with the port as it was given; None if there is none, or if it still cannot be read
    """
    from airflow.sdk import Connection

    from airflow_vectordb._compat import AirflowException

    given = os.environ.get(f"AIRFLOW_CONN_{conn_id.upper()}", "")
    # All else is quoted: what stands between a colon and the path is the port.
    found = re.fullmatch(r"([^?]*?):(-?\d+)((?:/[^/?]*)?(?:\?.*)?)", given, re.DOTALL)
    if found is None:
        return None
    try:
        connection = Connection.from_uri(found[1] + found[3], conn_id=conn_id)
    except (AirflowException, ValueError):
        return None
    connection.port = int(found[2])
    return connection


def _listed(problems: list[str]) -> str:
    named = [re.sub(r"extra `(\w+)`|^(timeout|retries)(?= must)", _label, problem) for problem in problems]
    if len(named) == 1:
        return f"This cannot be used: {named[0]}."
    return f"{len(named)} things cannot be used: " + "; ".join(f"({n}) {text}" for n, text in enumerate(named, 1)) + "."


def _label(key: re.Match[str]) -> str:
    name = key[1] or key[2]
    return f'"{_LABELS[name]}" (extra `{name}`)' if name in _LABELS else key[0]


class _Impatient(MilvusConfig):
    """The same endpoint, with an end to all answers that does not depend on the connection's time-out."""

    @property
    def socket_timeout(self) -> float:
        return LONGEST_ANSWER


@dataclass
class _Trial:
    config: MilvusConfig
    host: str
    login: str
    #: What is being waited for, for the case that it never comes.
    stage: str = "lookup"
    found: MilvusError | None = None

    def within(self, longest: float) -> tuple[bool, str]:
        # In a thread of its own, since nothing else ends the look-up of a name. The thread ends by itself, later.
        outcome: SimpleQueue[tuple[bool, str]] = SimpleQueue()
        threading.Thread(target=self._run, args=(outcome.put,), name="milvus-connection-test", daemon=True).start()
        try:
            return outcome.get(timeout=longest)
        except Empty:
            if self.found is not None:
                return False, self._explained(self.found)
            if self.stage == "lookup":
                return False, self._unknown(f"no answer of the name server within {duration(longest)}")
            return False, self._explained(NoAnswerError(f"nothing within {duration(longest)}"))

    def _run(self, tell: Callable[[tuple[bool, str]], None]) -> None:
        try:
            tell(self._reach())
        except Exception as error:  # noqa: BLE001 - nobody else hears of it in this thread
            tell((False, self.config.redact(f"{type(error).__name__}: {error}")))

    def _reach(self) -> tuple[bool, str]:
        from airflow_vectordb.rest import collections
        from airflow_vectordb.rest.http.client import Client

        given = {field.name: getattr(self.config, field.name) for field in fields(self.config)}
        given["timeout"] = min(self.config.timeout, LONGEST_ANSWER)
        began = time.monotonic()
        if not self._proxied:
            try:
                socket.getaddrinfo(*self._address, type=socket.SOCK_STREAM)
            except (OSError, UnicodeError) as error:
                return False, self._unknown(getattr(error, "strerror", None) or str(error))
        self.stage = "answer"
        try:
            with Client(_Impatient(**given)) as client:
                names = client.send(collections.list_(), retries=0)
        except MilvusError as error:
            self.found = error
            return False, self._explained(error, self._other_protocol(error))
        milliseconds = 1000 * (time.monotonic() - began)
        count = f"{len(names)} collection{'' if len(names) == 1 else 's'}"
        database = self.config.database or "default"
        return True, f"Milvus at {self.config.url} {self._who}, database {database}, {count}, {milliseconds:.0f} ms"

    @property
    def _who(self) -> str:
        if self.config.token is None:
            return "without credentials"
        return f"as {self.login}" if self.login else "with an API key"

    @property
    def _address(self) -> tuple[str, int]:
        parts = urlsplit(self.config.url)
        return parts.hostname or "", parts.port or (443 if parts.scheme.lower() == "https" else 80)

    @property
    def _proxied(self) -> bool:
        from airflow_vectordb.rest.hosts import proxy_for

        try:
            return proxy_for(self.config.url) is not None
        except ConnectError:  # the client says what is wrong with it
            return True

    def _unknown(self, reason: str) -> str:
        return (
            f'The host {self._address[0]!r} is not known here ({reason}). Check "{_LABELS["host"]}": the name must be '
            "one that Airflow's API server and its workers can resolve."
        )

    def _explained(self, error: MilvusError, other: bool = False) -> str:
        return explain(error, self.config, url_given="://" in self.host, login=self.login, other_protocol=other)

    def _other_protocol(self, error: MilvusError) -> bool:
        """Tell whether the port speaks TLS where it was not tried, or the other way round. The token is not sent."""
        tls = self.config.url.lower().startswith("https")
        if is_other_protocol(error, tls=tls):
            return True
        if self._proxied:
            return False
        if tls:
            return isinstance(error, BrokenAnswerError) and _speaks_http(*self._address)
        return isinstance(error, BrokenAnswerError | NotMilvusError) and _speaks_tls(*self._address)


def _speaks_tls(host: str, port: int) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection((host, port), LONGEST_LOOK) as sock,
            context.wrap_socket(sock, server_hostname=host),
        ):
            return True
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")
    except (OSError, ValueError):
        return False


def _speaks_http(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), LONGEST_LOOK) as sock:
            sock.sendall(f"GET / HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
            answer = sock.recv(4096)
    except (OSError, ValueError):
        return False
    # Servers that speak TLS say in plain HTTP that they do.
    return answer.startswith(b"HTTP/") and b"HTTPS" not in answer


__all__ = ["connection_in_environment", "try_connection"]
