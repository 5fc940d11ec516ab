"""What queries and searches over Milvus Lite check alike: partitions, fields and windows."""

from __future__ import annotations

from typing import Any

from airflow_vectordb.local.engine.lite.catalog import CollectionRecord
from airflow_vectordb.local.engine.lite.store import check_partitions
from airflow_vectordb.local.errors import collection_not_loaded, invalid, partition_not_loaded, unexpected

MOST = 16384
"""The most rows that a query or search may go through, and vectors that a search may have."""


def readable(record: CollectionRecord, partitions: list[str]) -> list[str]:
    """Return the partitions to read, none for all."""
    if not record.loaded:
        raise collection_not_loaded(record.database, record.name)
    check_partitions(record, partitions)
    for name in partitions:
        if record.loaded_partitions and name not in record.loaded_partitions:
            raise partition_not_loaded(name)
    return partitions or record.loaded_partitions


def output_fields(record: CollectionRecord, names: list[str]) -> list[str]:
    """Return the fields to ask the engine for: for ``*`` all of them but what functions fill, as on Milvus."""
    made = {entry.name for entry in record.spec.fields if entry.is_function_output}
    for name in names:
        if name in made:
            raise invalid(f"not allowed to retrieve raw data of field {name}")
        if name != "*" and not record.spec.dynamic and record.spec.field_named(name) is None:
            raise unexpected(f"field {name} not exist")
    if "*" not in names or not made:
        return names
    dynamic = ["$meta"] if record.spec.dynamic else []
    return [entry.name for entry in record.spec.fields if entry.name not in made] + dynamic


def check_search_window(limit: int, offset: int) -> None:
    for what, value, least in (("topk", limit, 1), ("offset", offset, 0), ("offset+topk", offset + limit, 1)):
        if not least <= value <= MOST:
            raise unexpected(f"{what} [{value}] is invalid, it should be in range [{least}, {MOST}], but got {value}")


def check_query_window(limit: int, offset: int) -> None:
    if limit + offset > MOST:
        raise unexpected(
            f"invalid max query result window, (offset+limit) should be in range [1, {MOST}], but got {limit + offset}"
        )


def column_of(columns: list[Any], name: str) -> Any:
    return next(column for column in columns if column.field_name == name)


def key_values(record: CollectionRecord, columns: list[Any]) -> list[Any]:
    """Return the primary keys among the columns of a query."""
    scalars = column_of(columns, record.spec.primary.name).scalars
    return list((scalars.string_data if scalars.HasField("string_data") else scalars.long_data).data)
