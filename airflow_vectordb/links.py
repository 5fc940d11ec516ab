"""The extra link of operators and sensors: to where people look at the collection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from airflow.sdk import BaseOperatorLink

from airflow_vectordb.hooks.connection_fields import CLOUD_CONSOLES

if TYPE_CHECKING:
    from airflow_vectordb.hooks.connection import ConnectionLike


class MilvusConsoleLink(BaseOperatorLink):
    """
    Links to the console of the instance: Attu, Milvus WebUI, Zilliz Cloud.

    It is the connection's extra ``console_url``, in which ``{database}`` and ``{collection}`` stand for the task's; for
    a host of Zilliz Cloud its console, unless the connection has one of its own.
    """

    name = "Milvus console"  # type: ignore[assignment,unused-ignore]

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """
        Make the link; Airflow calls it when the task has run, and keeps it as an XCom.

        :param operator: the task, rendered
        :param ti_key: key of the task instance
        :return: a URL; empty: there is none
        """
        del ti_key
        if (link := getattr(operator, "milvus_console", None)) is not None:
            return str(link)
        from airflow_vectordb.hooks.milvus import MilvusHook

        try:
            connection = MilvusHook.get_connection(operator.milvus_conn_id)
            return console_link(connection, operator.database or None, getattr(operator, "collection_name", None))
        except Exception:  # noqa: BLE001 - the task has failed of it, and its log says so
            return ""


def console_link(connection: ConnectionLike, database: str | None, collection: str | None) -> str:
    """
    Make the link for a collection.

    :param connection: of the instance
    :param database: None: the connection's
    :param collection: name of the collection
    :return: a URL; empty: there is none
    """
    from airflow_vectordb.hooks.connection import console_url_of

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


__all__ = ["MilvusConsoleLink", "console_link"]
