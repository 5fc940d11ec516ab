"""Tells Airflow what a task did to a collection: through outlet assets, and through hook lineage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_vectordb.hooks.milvus import MilvusHook
    from airflow_vectordb.mixins import MilvusTaskMixin


def tell(task: MilvusTaskMixin, hook: MilvusHook, context: Context, collection: str, extra: dict[str, Any]) -> None:
    """
    Tell that a task has changed a collection.

    The event of an outlet :class:`~airflow.sdk.Asset` gets ``extra``; an outlet :class:`~airflow.sdk.AssetAlias` gets
    an event for the collection's own asset, with ``extra``. Without any outlet, lineage collectors (OpenLineage) are
    told all the same.

    :param task: whose outlets are told
    :param hook: tells the server and the database
    :param context: the task's context
    :param collection: name of the collection
    :param extra: JSON-ready
    """
    from airflow.sdk import Asset, AssetAlias

    from airflow_vectordb.assets import asset_uri

    uri = asset_uri(hook.config.url, None, hook.config.database, collection)
    events: Any = (context or {}).get("outlet_events")  # unit tests of DAGs give none
    for outlet in (task.outlets or ()) if events is not None else ():
        if isinstance(outlet, AssetAlias):
            events[outlet].add(Asset(uri), extra=extra)
        elif isinstance(outlet, Asset):
            events[outlet].extra.update(extra)
    _collector().add_output_asset(context=hook, uri=uri)


def _collector() -> Any:
    try:
        from airflow.sdk.lineage import get_hook_lineage_collector
    except ImportError:  # Airflow 3.1
        from airflow.lineage.hook import get_hook_lineage_collector  # type: ignore[no-redef,import-not-found,unused-ignore]
    return get_hook_lineage_collector()


__all__ = ["tell"]
