"""An Airflow connection -> a :class:`~airflow_vectordb.rest.config.MilvusConfig`, and the link to its console."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Union
from urllib.parse import quote, urlsplit

from airflow_vectordb import rest
from airflow_vectordb._compat import AirflowNotFoundException
from airflow_vectordb.hooks.connection_fields import (
    CLOUD_CONSOLES,
    CONNECTION_TYPE,
    EXTRA_FIELDS,
    HOOK_NAME,
)
from airflow_vectordb.rest import DEFAULT_DATABASE, DEFAULT_PORT
from airflow_vectordb.rest.driver import Sleep
from airflow_vectordb.rest.spelling import suggest
from airflow_vectordb.rest.wording import duration

if TYPE_CHECKING:
    from airflow.sdk import Connection


#: Seconds between attempts to read a connection. Airflow also reports it as missing while its database is down.
PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0)
#: The same for one that has not been read before: its id may be misspelt, so fail sooner.
FIRST_PAUSES = PAUSES[:2]

_log = logging.getLogger(__name__)


def undefined(conn_id: Any) -> str:
    """Return advice for a connection that Airflow does not find."""
    variable = f"AIRFLOW_CONN_{str(conn_id).upper()}"
    if os.environ.get(variable):  # Airflow only logs what is wrong with it
        return f"{variable} is not a valid URI or JSON: in a URI, percent-encode @ / : ? # % in the password."
    return (
        f'Add it on Airflow\'s Connections page (type "{HOOK_NAME}") or by `airflow connections add`, or set the '
        "task's `milvus_conn_id` to an existing one."
    )


@dataclass
class ConnectionFields:
    """The fields of an Airflow connection. Airflow's own class shows secrets in tracebacks."""

    conn_id: Any
    conn_type: Any
    host: Any
    port: Any
    login: Any
    password: Any = field(repr=False)
    schema: Any
    extra: Any = field(repr=False)


#: The Task SDK's, or the metadata database's, which has the same fields.
AnyConnection = Union["Connection", ConnectionFields]


def fields_of(connection: AnyConnection) -> ConnectionFields:
    """Copy the relevant fields of an Airflow connection."""
    return ConnectionFields(*(getattr(connection, field.name) for field in fields(ConnectionFields)))


def read_patiently(pauses: Sequence[float], conn_id: Any) -> Generator[Sleep | None, Any, ConnectionFields]:
    """
    Read a connection; retry while Airflow reports that it does not exist.

    A generator of steps for ``rest.driver``. When it yields None, read the connection and send it in, or throw
    Airflow's exception.

    :raises AirflowNotFoundException: if the last attempt does not find it either
    """
    line = ""
    for pause in pauses:
        try:
            return fields_of((yield None))
        except AirflowNotFoundException as error:
            line = "still not defined" if line else f"{error}. Airflow also reports this while its database is down"
        yield Sleep(pause, logging.WARNING, f"{line}; trying again in {duration(pause)}")
    try:
        return fields_of((yield None))
    except AirflowNotFoundException as error:
        raise AirflowNotFoundException(f"{error}. {undefined(conn_id)}") from None


def config_from_connection(
    connection: AnyConnection, database: str | None = None, *, warn: bool = True
) -> rest.MilvusConfig:
    """
    Build a configuration from an Airflow connection.

    :param database: used instead of the connection's schema field; None: that one
    :raises InvalidParametersError: with all problems of the connection, without secrets
    """
    problems: list[str] = []
    config = _config(connection, database, problems)
    for text in _oddities(connection) if warn else ():
        _log.warning("connection %r: %s", connection.conn_id, text)
    if config is None or problems:
        # Raised here, since tracebacks may show variables: this function's contain no secret, unlike `extra`.
        raise rest.errors.InvalidParametersError(problems, f"connection {connection.conn_id!r}")
    return config


def console_link(connection: AnyConnection, database: str | None, collection: str | None) -> str:
    """
    Return the URL of a collection's page in Attu, Milvus WebUI or the Zilliz Cloud console.

    :param connection: its extra ``console_url`` is a template; hosts of Zilliz Cloud need none
    :return: the URL, without user and password, since everyone who sees the task sees it; empty: there is none
    """
    url = str(_extra(connection, []).get("console_url") or "")
    host = (connection.host or "").strip()
    try:
        if not url:
            name = urlsplit(host if "://" in host else f"//{host}").hostname or ""
            return next((console for suffix, console in CLOUD_CONSOLES.items() if name.endswith(suffix)), "")
        parts = urlsplit(url)
        link = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    except ValueError:  # unusable URL
        return ""
    # A later @ may end a password that contains / or another sign that ends hosts.
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in link or "\\" in url:
        return ""
    names = {"{database}": database or connection.schema or DEFAULT_DATABASE, "{collection}": collection or ""}
    for placeholder, value in names.items():
        link = link.replace(placeholder, quote(str(value), safe=""))
    return link


def ca_bundle_of(connection: AnyConnection) -> str | None:
    """Return the path of the CA bundle in the extra ``verify``; None if there is none."""
    verify = _extra_values(connection, []).get("verify")
    return verify if isinstance(verify, str) else None


def _config(connection: AnyConnection, database: str | None, problems: list[str]) -> rest.MilvusConfig | None:
    values = _extra_values(connection, problems)
    url = _url(connection, values.pop("secure", False), problems)
    values.pop("console_url", None)
    login, password = connection.login or "", connection.password or ""
    if "@" in (connection.schema or ""):  # it holds a part of the password
        problems.append("the schema has an @: in a URI, percent-encode @ and / in the password (%40, %2F)")
    if login and not password:
        problems.append("a login without a password (an API key goes into the password, with the login left empty)")
    try:
        return rest.MilvusConfig(
            url=url or "https://localhost",
            token=f"{login}:{password}" if login else password or None,
            database=database or connection.schema or None,
            **values,
        )
    except rest.errors.InvalidParametersError as error:
        problems += error.problems
        return None


def _extra(connection: AnyConnection, problems: list[str]) -> Mapping[str, Any]:
    try:
        # Not `extra_dejson`, which ignores invalid JSON and calls Airflow's supervisor (to mask what Airflow has
        # already masked), which must not be waited for in an event loop.
        extra = json.loads(connection.extra or "{}") if connection.extra != "null" else {}
    except ValueError as error:
        problems.append(f"extra is not JSON: {error}")
        return {}
    if not isinstance(extra, Mapping):
        problems.append("extra is not a JSON object")
        return {}
    return extra


def _extra_values(connection: AnyConnection, problems: list[str]) -> dict[str, Any]:
    """Return the known extras that are set, each in its type."""
    extra = _extra(connection, problems)
    values = {}
    for name, _, schema, _ in EXTRA_FIELDS:
        value = extra.get(name)
        if value is None or value == "":
            continue
        read, words = _READERS[schema["type"][0]]
        try:
            values[name] = read(str(value))
        except (KeyError, ValueError):
            problems.append(f"extra `{name}` must be {words}, not {repr(value)[:100]}")
    return values


def _whole_number(text: str) -> int:
    number = float(text)
    if not number.is_integer():
        raise ValueError
    return int(number)


_FLAGS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
#: By the type in a field's schema: how a text is read (a connection defined as a URI has only texts), and what it must
#: be.
_READERS: dict[str, tuple[Callable[[str], Any], str]] = {
    "boolean": (lambda text: _FLAGS[text.lower()], "true or false"),
    "number": (float, "a number"),
    "integer": (_whole_number, "a whole number"),
    "string": (lambda text: _FLAGS.get(text.lower(), text), "a string"),
}


def _oddities(connection: AnyConnection) -> Iterator[str]:
    """Yield settings that work, but are probably not intended."""
    extra = _extra(connection, [])
    if (kind := connection.conn_type or "") != CONNECTION_TYPE:
        yield f"its type should be {CONNECTION_TYPE!r}, not {kind!r}: only that one has the form and the Test button"
    console = str(extra.get("console_url") or "")
    if console and not console.lower().startswith(("http://", "https://")):
        yield "extra 'console_url' is not a link: it must begin with http:// or https://"
    if "@" in console:
        yield "user and password in extra 'console_url' are left out of links"
    known = [field.name for field in EXTRA_FIELDS]
    yield from (f"unknown extra {key!r}{suggest(key, known)}" for key in extra if key not in known)


def _url(connection: AnyConnection, secure: bool, problems: list[str]) -> str:
    host, port = (connection.host or "").strip(), connection.port
    if port and not (str(port).isdecimal() and int(port) <= 65535):
        problems.append(f"the port must be a number from 1 to 65535, not {port!r}")
        port = None
    if not host:
        problems.append("the host is empty: set it to a host name or a URL")
    if not host or "@" in host:
        return host  # MilvusConfig says what is wrong with it
    default_port = None
    of_cloud = host.lower().partition(":")[0].rstrip(".").endswith(tuple(CLOUD_CONSOLES))
    if "://" not in host and (of_cloud or str(connection.conn_type).lower() == "https"):
        host = f"https://{host}"  # Zilliz Cloud, or a URI of that scheme: the token must not be sent unencrypted
    if "://" not in host:
        if "/" in host:
            problems.append(f"{host!r} is neither a host name nor a URL: write http:// or https:// before it")
            return ""
        if host.count(":") > 1 and not host.startswith("["):
            host = f"[{host}]"  # an IPv6 address
        host = f"{'https' if secure else 'http'}://{host}"
        default_port = DEFAULT_PORT
    try:
        parts = urlsplit(host)
        own = parts.port
    except ValueError:
        return host  # MilvusConfig says what is wrong with it
    if own is None and (port or default_port):
        # As a text: geturl() would leave out tabs and line breaks, which MilvusConfig refuses.
        return host.replace(f"//{parts.netloc}", f"//{parts.netloc}:{port or default_port}", 1)
    if port and own not in (None, int(port)):
        problems.append(f"the host names the port {own}, and the port is {port}: leave one of them out")
        return ""
    return host
