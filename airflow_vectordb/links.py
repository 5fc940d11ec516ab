"""The extra link of operators and sensors: to the collection's page in the console of the instance."""

from __future__ import annotations

from typing import Any

from airflow.sdk import BaseOperatorLink

from airflow_vectordb import hooks


class MilvusConsoleLink(BaseOperatorLink):
    """
    Links to the console of the instance: Attu, Milvus WebUI, Zilliz Cloud.

    The URL is the connection's extra ``console_url``, in which ``{database}`` and ``{collection}`` stand for the
    task's. Without one, hosts of Zilliz Cloud link to its console.
    """

    name = "Milvus console"  # type: ignore[assignment,unused-ignore]

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Return the link, or an empty text; Airflow asks for it when the task has run, and keeps it as an XCom."""
        del ti_key
        if (link := getattr(operator, "milvus_console", None)) is not None:
            return str(link)
        try:
            connection = hooks.milvus.MilvusHook.get_connection(operator.milvus_conn_id)
            collection = getattr(operator, "collection_name", None)
            return hooks.connection.console_link(connection, operator.database or None, collection)
        except Exception:  # noqa: BLE001 - the task has failed because of it, and its log says so
            return ""


__all__ = ["MilvusConsoleLink"]
