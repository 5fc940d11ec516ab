"""The hook's methods for rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal

from airflow_vectordb import rest
from airflow_vectordb.exceptions import translate_errors
from airflow_vectordb.hooks.base import HookBase
from airflow_vectordb.ingest.memory import ArrowData, source_of
from airflow_vectordb.ingest.options import MAX_BYTES, MAX_ROWS
from airflow_vectordb.ingest.rows import INDEXES
from airflow_vectordb.ingest.run import primary_key
from airflow_vectordb.ingest.source import Unreadable
from airflow_vectordb.ingest.values import keys_of
from airflow_vectordb.rest import filters
from airflow_vectordb.rest.http.json import EncodedRows, encode

if TYPE_CHECKING:
    from airflow_vectordb.rest.entities import Written
    from airflow_vectordb.rest.http.call import Call

ConsistencyLevel = Literal["Strong", "Session", "Bounded", "Eventually"]


class EntityMethods(HookBase):
    """
    Methods of the hook; the names are those of pymilvus's ``MilvusClient`` where it has them.

    Each sends the call of the same name in :mod:`airflow_vectordb.rest.entities`, which describes the arguments
    (``partition_names`` are its ``partitions``). An alias can name the collection, which must be loaded to read rows.
    Values are returned as the server sends them, JSON fields as strings, but arrays as lists.

    - ``output_fields``: names of the fields to read; None: all fields of rows
    - ``offset``: rows or hits to skip
    - ``consistency_level``: None: the collection's
    """

    def insert(self, collection_name: str, data: Any, *, partition_name: str | None = None) -> Written:
        """
        Insert rows.

        Rows are sent in one request if it is under 8 MiB, else in several, one after the other: after an error, earlier
        rows remain. For many rows and for files, ``ingest`` also checks rows and resumes after a failure.

        :param data: a row, a list or generator of rows, a pandas or Polars frame, Arrow data; vectors as lists or NumPy
            arrays
        :raises MilvusError: if the server refuses; an insert is retried only if it certainly had no effect
        """
        return self._write(data, lambda rows: rest.entities.insert(collection_name, rows, partition=partition_name))

    def upsert(
        self, collection_name: str, data: Any, *, partition_name: str | None = None, partial_update: bool = False
    ) -> Written:
        """
        Insert rows, or replace those with the same primary key; as ``insert`` otherwise.

        :param partial_update: whether fields missing in a row keep their values (Milvus 2.6)
        """
        return self._write(
            data,
            lambda rows: rest.entities.upsert(collection_name, rows, partition=partition_name, partial=partial_update),
        )

    def _write(self, data: Any, make_call: Callable[[Sequence[Any]], Call[Written]]) -> Written:
        count = 0
        ids: list[Any] = []
        with translate_errors():
            for batch in _batches(data):
                try:
                    written = self.send(make_call(batch))
                except rest.errors.MilvusError as error:
                    if not count:
                        raise
                    before = f"The {count:,} rows before these are written."
                    raise error.with_context(hint=f"{error.hint} {before}".strip()) from error.__cause__
                count += written.count
                ids += written.ids
        return rest.entities.Written(count, tuple(ids))

    def get(
        self,
        collection_name: str,
        ids: int | str | Sequence[int | str],
        *,
        output_fields: Sequence[str] | None = None,
        partition_names: Sequence[str] | None = None,
    ) -> list[dict[str, Any]]:
        """Read the rows with one or several primary keys; those that do not exist are left out."""
        keys = [ids] if isinstance(ids, int | str | Integral) else ids
        return self._send(
            rest.entities.get, collection_name, keys, output_fields=output_fields, partitions=partition_names
        )

    def query(
        self,
        collection_name: str,
        filter: str | None = None,
        *,
        output_fields: Sequence[str] | None = None,
        limit: int | None = None,
        offset: int | None = None,
        filter_params: Mapping[str, Any] | None = None,
        partition_names: Sequence[str] | None = None,
        consistency_level: ConsistencyLevel | None = None,
    ) -> list[dict[str, Any]]:
        """
        Read the rows that a filter selects, at most 16,384; ``query_iterator`` reads any number.

        :param limit: maximum number of rows; None: the server's default, 100
        """
        return self._send(
            rest.entities.query,
            collection_name,
            filter=filter,
            output_fields=output_fields,
            limit=limit,
            offset=offset,
            filter_params=filter_params,
            partitions=partition_names,
            params={"consistencyLevel": consistency_level},
        )

    def query_iterator(
        self,
        collection_name: str,
        filter: str | None = None,
        *,
        batch_size: int = 1000,
        limit: int | None = None,
        output_fields: Sequence[str] | None = None,
        filter_params: Mapping[str, Any] | None = None,
        partition_names: Sequence[str] | None = None,
        consistency_level: ConsistencyLevel | None = None,
    ) -> Iterator[list[dict[str, Any]]]:
        """
        Read all rows that a filter selects, in the order of their primary keys, in constant memory.

        Each page queries the keys after the last one. Rows that are written meanwhile may or may not be included. Keys
        must be unique: if several rows have the same key, which ``insert`` allows, some may be missing.

        :param batch_size: rows of a page, 1 to 16,384
        :param limit: total number of rows; None: no limit
        :param output_fields: as above; the primary key is always included
        :return: pages of rows, none of them empty
        :raises UnexpectedError: if the server does not answer in the order of keys, since rows would be missing
        """
        with translate_errors():
            names = rest.lists.as_list_or_none("output_fields", output_fields)
            partition_names = rest.lists.as_partitions("partition_names", partition_names)
            rest.lists.check_integers(batch_size=batch_size, limit=limit)
            problems = rest.spelling.check_range("batch_size", batch_size, 1, 16_384)
            problems += [] if limit is None else rest.spelling.check_range("limit", limit, 0, 2**63)
            if problems:
                raise rest.errors.InvalidParametersError(problems, "arguments")
            key = primary_key(self.send(rest.collections.describe(collection_name)))
        selected, left = filter, limit
        last: Any = None
        while left is None or left > 0:
            page = self.query(
                collection_name,
                selected,
                output_fields=None if names is None else list(dict.fromkeys([key.name, *names])),
                limit=batch_size if left is None else min(batch_size, left),
                filter_params=filter_params,
                partition_names=partition_names,
                consistency_level=consistency_level,
            )
            if not page:  # a short page is not necessarily the last one
                return
            with translate_errors():
                keys = keys_of(page, key.name, key.type)
            if sorted(keys, key=_order) != keys or (last is not None and _order(keys[0]) <= _order(last)):
                with translate_errors():
                    raise rest.errors.UnexpectedError(
                        f"the rows of {collection_name} are not returned in the order of {key.name}",
                        hint="Use query with an offset, or with your own filters.",
                    )
            yield page
            last = keys[-1]
            after = f"{key.name} > {filters.literal(last)}"
            selected = f"({filter}) and {after}" if filter else after
            left = None if left is None else left - len(page)

    def count(
        self,
        collection_name: str,
        filter: str | None = None,
        *,
        filter_params: Mapping[str, Any] | None = None,
        partition_names: Sequence[str] | None = None,
    ) -> int:
        """Count the rows of a loaded collection exactly, unsealed ones included."""
        return self._send(
            rest.entities.count, collection_name, filter=filter, filter_params=filter_params, partitions=partition_names
        )

    def search(
        self,
        collection_name: str,
        data: Sequence[Any],
        filter: str | None = None,
        *,
        anns_field: str | None = None,
        limit: int = 10,
        offset: int | None = None,
        output_fields: Sequence[str] | None = None,
        search_params: Mapping[str, Any] | None = None,
        filter_params: Mapping[str, Any] | None = None,
        partition_names: Sequence[str] | None = None,
        consistency_level: ConsistencyLevel | None = None,
        group_by_field: str | None = None,
        group_size: int | None = None,
        strict_group_size: bool | None = None,
    ) -> list[list[dict[str, Any]]]:
        """
        Find the nearest rows of each of several vectors (:func:`~airflow_vectordb.rest.entities.search`).

        :param data: query vectors: a list, or a NumPy array of two dimensions
        :param search_params: ``{"metric_type": "L2", "params": {"ef": 64}}``, or the parameters alone
        :param group_by_field: hits are grouped by the values of this field; ``limit`` counts groups
        :param group_size: hits of each group; None: 1
        :param strict_group_size: whether to go on searching until groups have so many hits, if they exist
        """
        return self._send(
            rest.entities.search,
            collection_name,
            data,
            anns_field=anns_field,
            limit=limit,
            offset=offset,
            filter=filter,
            output_fields=output_fields,
            search_params=_search_params(search_params or {}),
            filter_params=filter_params,
            partitions=partition_names,
            options=_options(consistency_level, group_by_field, group_size, strict_group_size),
        )

    def hybrid_search(
        self,
        collection_name: str,
        reqs: Sequence[Mapping[str, Any]],
        ranker: Mapping[str, Any] | None = None,
        *,
        limit: int = 10,
        offset: int | None = None,
        output_fields: Sequence[str] | None = None,
        partition_names: Sequence[str] | None = None,
        consistency_level: ConsistencyLevel | None = None,
        group_by_field: str | None = None,
        group_size: int | None = None,
        strict_group_size: bool | None = None,
    ) -> list[list[dict[str, Any]]]:
        """
        Search several vector fields, and merge the hits (:func:`~airflow_vectordb.rest.entities.hybrid_search`).

        :param reqs: a mapping for each field: ``{"data": [vector], "annsField": "dense", "limit": 20, "filter": …}``,
            with strings as ``data`` for a field that a function fills
        :param ranker: how the hits are merged: ``{"strategy": "weighted", "params": {"weights": [0.7, 0.3]}}``; None:
            ``{"strategy": "rrf", "params": {"k": 60}}``
        :param limit: hits in all for each vector; with ``group_by_field``, as for ``search``, groups
        """
        return self._send(
            rest.entities.hybrid_search,
            collection_name,
            reqs,
            rerank=ranker,
            limit=limit,
            offset=offset,
            output_fields=output_fields,
            partitions=partition_names,
            options=_options(consistency_level, group_by_field, group_size, strict_group_size),
        )


def _batches(data: Any) -> Iterator[Any]:
    """Encode rows, and divide them into requests."""
    rows, size = EncodedRows(), 0
    source = source_of([data] if isinstance(data, Mapping) else data)
    for block in source.blocks():
        for number, row in enumerate(block.rows, start=block.first + 1):
            if isinstance(row, Unreadable):
                raise rest.errors.InvalidParametersError([f"row {number:,}: {row.reason}"], "rows")
            if isinstance(source, ArrowData):
                row = {name: value for name, value in row.items() if name not in INDEXES}
            encoded = encode(row)
            if len(rows) and (size + len(encoded) > MAX_BYTES or len(rows) >= MAX_ROWS):
                yield rows
                rows, size = EncodedRows(), 0
            rows.append(encoded)
            size += len(encoded) + 1
    if len(rows):
        yield rows


@translate_errors()
def _search_params(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the API's ``searchParams``: the metric, and the search parameters in ``params``."""
    example = '{"params": {"ef": 64}}'
    params = rest.lists.as_mapping("search_params", given, example)
    metric = params.pop("metric_type", None) or params.pop("metricType", None)
    params |= rest.lists.as_mapping("search_params", params.pop("params", None) or {}, example)
    # The API reference documents one place, Milvus 2.6 reads the other.
    metrics = {"metricType": metric, "metric_type": metric} if metric else {}
    return {**metrics, "params": params} if params else metrics


def _options(
    consistency_level: str | None, group_by_field: str | None, group_size: int | None, strict_group_size: bool | None
) -> dict[str, Any]:
    """Return the further fields of a request for a search."""
    grouping = {"groupingField": group_by_field, "groupSize": group_size, "strictGroupSize": strict_group_size}
    return {"consistencyLevel": consistency_level, **grouping}


def _order(key: Any) -> Any:
    """Return a key's sort key on the server: strings are compared by bytes."""
    return key.encode() if isinstance(key, str) else key


__all__ = ["EntityMethods"]
