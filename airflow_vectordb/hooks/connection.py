"""An Airflow connection -> a :class:`~airflow_vectordb.rest.config.MilvusConfig`, and the link to its console."""

from __future__ import annotations

import json
import logging
from collections.abc import Generator, Iterator, Mapping, Sequence
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
from airflow_vectordb.rest import DEFAULT_DATABASE, DEFAULT_PORT, DEFAULT_RETRIES, DEFAULT_TIMEOUT
from airflow_vectordb.rest.driver import Sleep
from airflow_vectordb.rest.spelling import suggest
from airflow_vectordb.rest.wording import duration

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from airflow_vectordb.rest import MilvusConfig

#: Seconds between attempts to read a connection. Airflow also reports it as missing while its database is down.
PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0)
#: The same for one that has not been read before: its id may be misspelt, so fail sooner.
FIRST_PAUSES = PAUSES[:2]
#: Advice for a missing Airflow connection.
UNDEFINED = (
    f"Add it on Airflow's Connections page (type \"{HOOK_NAME}\") or by `airflow connections add`, or set the task's "
    "`milvus_conn_id` to an existing one."
)

_log = logging.getLogger(__name__)


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


def read_patiently(pauses: Sequence[float]) -> Generator[Sleep | None, Any, ConnectionFields]:
    """
    Read a connection; retry while Airflow reports that it does not exist.

    A generator of steps for ``rest.driver``. When it yields None, read the connection and send it in, or throw
    Airflow's exception.

    :raises AirflowNotFoundException: if the last attempt does not find it either
    """
    reported = ""
    for pause in pauses:
        try:
            return fields_of((yield None))
        except AirflowNotFoundException as error:
            text = f"{error}. Airflow also reports this while its database is down"
        line = "still no connection" if text == reported else text
        yield Sleep(pause, logging.WARNING, f"{line}; trying again in {duration(pause)}")
        reported = text
    try:
        return fields_of((yield None))
    except AirflowNotFoundException as error:
        raise AirflowNotFoundException(f"{error}. {UNDEFINED}") from None


def config_from_connection(
    connection: AnyConnection, database: str | None = None, *, warn: bool = True
) -> MilvusConfig:
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
    url = _console_url(connection)
    if not url:
        host = (connection.host or "").strip()
        name = _host_of(host if "://" in host else f"//{host}")
        return next((console for suffix, console in CLOUD_CONSOLES.items() if name.endswith(suffix)), "")
    names = {"{database}": database or connection.schema or DEFAULT_DATABASE, "{collection}": collection or ""}
    for placeholder, value in names.items():
        url = url.replace(placeholder, quote(str(value), safe=""))
    return url if url.lower().startswith(("http://", "https://")) and _host_of(url) else ""


def ca_bundle_of(connection: AnyConnection) -> str | None:
    """Return the path of the CA bundle in the extra ``verify``; None if there is none."""
    verify = _verify(_extra(connection, []).get("verify"))
    return verify if isinstance(verify, str) else None


def _config(connection: AnyConnection, database: str | None, problems: list[str]) -> MilvusConfig | None:
    extra = {key: value for key, value in _extra(connection, problems).items() if value not in (None, "")}
    secure = _flag(extra.get("secure", False), "secure", problems)
    timeout = _number(extra.get("timeout", DEFAULT_TIMEOUT), "timeout", problems)
    retries = _number(extra.get("retries", DEFAULT_RETRIES), "retries", problems)
    if not retries.is_integer():
        problems.append(f"extra `retries` must be a whole number, not {retries:g}")
        retries = 1.0
    url = _url(connection, secure, problems)
    login, password = connection.login or "", connection.password or ""
    if login and not password:
        problems.append("a login without a password (an API key goes into the password, with the login left empty)")
    try:
        return rest.MilvusConfig(
            url=url or "http://localhost",
            token=f"{login}:{password}" if login else password or None,
            database=database or connection.schema or None,
            verify=_verify(extra.get("verify")),
            timeout=timeout,
            retries=int(retries),
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


def _console_url(connection: AnyConnection) -> str | None:
    """Return the extra ``console_url`` without user and password; None: they cannot be separated."""
    url = str(_extra(connection, []).get("console_url") or "")
    scheme, mark, target = url.partition("://")
    end = min((target.find(sign) for sign in "/?#\\" if sign in target), default=len(target))
    bare = f"{scheme}{mark}{target[:end].rpartition('@')[2]}{target[end:]}"
    # A later @ may end a password that contains one of those characters.
    return None if "@" in bare else bare or None


def _host_of(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:  # unusable URL
        return ""


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
    yield from (f"extra {key!r} has no meaning here{suggest(key, known)}" for key in extra if key not in known)


def _url(connection: AnyConnection, secure: bool, problems: list[str]) -> str | None:
    host, port = (connection.host or "").strip(), connection.port
    if port and not _is_port(port):
        problems.append(f"the port must be a number from 1 to 65535, not {port!r}")
        port = None
    if not host:
        problems.append("the host is empty: set it to a host name or a URL")
        return None
    if "@" in host:
        return host  # MilvusConfig says what is wrong with it
    if "://" not in host and str(connection.conn_type).lower() == "https":
        host = f"https://{host}"  # a URI of that scheme: its token must not be sent unencrypted
    if "://" not in host:
        if "/" in host:
            problems.append(f"{host!r} is neither a host name nor a URL: write http:// or https:// before it")
            return None
        if host.count(":") > 1 and not host.startswith("["):
            host = f"[{host}]"  # an IPv6 address
        _, colon, given = host.rpartition("]")[2].partition(":")
        if colon and not _is_port(given):
            problems.append(f"{given!r} is not a port")
            return None
        if not colon:
            port = port or DEFAULT_PORT
        host = f"{'https' if secure else 'http'}://{host}"
    try:
        own = urlsplit(host).port
    except ValueError:
        return host  # MilvusConfig says what is wrong with it
    if own is None and port:
        scheme, target = host.split("://", 1)
        authority, slash, path = target.partition("/")
        return f"{scheme}://{authority}:{port}{slash}{path}"
    if port and own != int(port):
        problems.append(f"the host names the port {own}, and the port is {port}: leave one of them out")
        return None
    return host


def _is_port(value: Any) -> bool:
    text = str(value)
    return text.isascii() and text.isdigit() and 1 <= int(text) <= 65535


def _flag(value: Any, name: str, problems: list[str]) -> bool:
    flag = _as_flag(value)
    if flag is None:
        problems.append(f"extra `{name}` must be true or false, not {value!r}")
    return flag or False


def _verify(value: Any) -> bool | str:
    if value is None or value == "":
        return True
    flag = _as_flag(value)
    return str(value) if flag is None else flag


def _as_flag(value: Any) -> bool | None:
    # A connection defined as a URI has only strings.
    return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}.get(str(value).lower())


def _number(value: Any, name: str, problems: list[str]) -> float:
    try:
        if isinstance(value, bool):
            raise ValueError
        return float(value)
    except (TypeError, ValueError, OverflowError):
        problems.append(f"extra `{name}` must be a number, not {str(value)[:100]!r}")
        return 1.0  # a valid placeholder
