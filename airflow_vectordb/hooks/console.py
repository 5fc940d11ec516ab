"""Where people look at an instance: Attu, Milvus WebUI, Zilliz Cloud."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from airflow_vectordb.hooks.connection import ConnectionLike, console_url_of
from airflow_vectordb.hooks.connection_fields import CLOUD_CONSOLES


def console_link(connection: ConnectionLike, database: str | None, collection: str | None) -> str:
    """
    Make the link for a collection.

    :param connection: of the instance
    :param database: None: the connection's
    :param collection: name of the collection
    :return: a URL; empty: there is none
    """
    url = console_url_of(connection)
    if not url:
        host = (connection.host or "").strip()
        name = _host_of(host if "://" in host else f"//{host}")
        return next((console for suffix, console in CLOUD_CONSOLES.items() if name.endswith(suffix)), "")
    url = str(url)
    names = {"{database}": database or connection.schema or "default", "{collection}": collection or ""}
    for placeholder, value in names.items():
        url = url.replace(placeholder, quote(str(value), safe=""))
    return url if url.lower().startswith(("http://", "https://")) and _host_of(url) else ""


def _host_of(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:  # nothing that could be looked at
        return ""


__all__ = ["console_link"]
