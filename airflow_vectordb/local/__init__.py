"""A local server that answers like Milvus's REST API v2, over an embedded Milvus Lite.

``airflow-vectordb serve`` starts one by hand; :class:`LocalMilvus` starts one for the length of a ``with`` block::

    from airflow_vectordb.local import LocalMilvus

    with LocalMilvus() as server:
        print(server.uri, server.token)

As on a cluster, flushes and loads return before they are done: by default shortly before, with ``pace="real"`` (``serve
--pace real``) as long as on a cluster; with ``pace="immediate"`` they are done when they return.

It needs the extra ``local``.
"""

from airflow_vectordb.local.pace import Pace
from airflow_vectordb.local.process import LocalMilvus, LocalMilvusError

__all__ = ["LocalMilvus", "LocalMilvusError", "Pace"]
