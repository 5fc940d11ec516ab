"""The hook's methods for rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from airflow_vectordb import rest
from airflow_vectordb.exceptions import translate_errors
from airflow_vectordb.hooks import arguments
from airflow_vectordb.hooks._base import HookBase
from airflow_vectordb.rest import filters

if TYPE_CHECKING:
    from airflow_vectordb.rest.collections import Field
    from airflow_vectordb.rest.entities import Written
    from airflow_vectordb.rest.http.call import Call

ConsistencyLevel = Literal["Strong", "Session", "Bounded", "Eventually"]


class EntityMethods(HookBase):
    """
    Methods of the hook; the names are those of pymilvus's ``MilvusClient`` where it has them.

    Common arguments:

    - ``collection_name``: the collection (or an alias); it must be loaded to read rows
    - ``filter``: a boolean expression, for example ``id in [1, 2]``; None: all rows
    - ``filter_params``: values for the ``{names}`` in the filter
    - ``output_fields``: names of the fields to read; None: all fields of rows
    - ``offset``: rows or hits to skip
    - ``partition_name``: the partition that rows go to; None: the default one
    - ``partition_names``: names of the partitions to read; None: all
    - ``consistency_level``: None: the collection's
    """

    def insert(self, collection_name: str, data: Any, *, partition_name: str | None = None) -> Written:
        """
        Insert rows (:func:`rest.entities.insert <airflow_vectordb.rest.entities.insert>`).

        Rows are sent in one request if it is under 8 MiB, else in several, one after the other: after an error, earlier
        rows remain. For many rows and for files, ``ingest`` also checks rows and resumes after a failure.

        :param data: a row, a list or generator of rows, a pandas or Polars frame, Arrow data; vectors as lists or NumPy
            arrays
        :return: ``count`` and ``ids``
        :raises MilvusError: if the server refuses; an insert is retried only if it certainly had no effect
        """
        return self._write(data, lambda rows: rest.entities.insert(collection_name, rows, partition=partition_name))

    def upsert(
        self, collection_name: str, data: Any, *, partition_name: str | None = None, partial_update: bool = False
    ) -> Written:
        """
        Insert rows, or replace those with the same primary key; as ``insert`` otherwise.

        :param data: rows with their primary keys, as for ``insert``
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
        """
        Read rows by their primary keys.

        :param ids: one primary key, or several
        :return: the rows that exist, with values as the server sends them (JSON fields as text)
        """
        arguments.check_names(output_fields=output_fields, partition_names=partition_names)
        keys = arguments.list_keys(ids, texts=True)
        return self.send(
            rest.entities.get(collection_name, keys, output_fields=output_fields, partitions=partition_names)
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
        :return: rows, with values as the server sends them (JSON fields as text)
        """
        arguments.check_names(output_fields=output_fields, partition_names=partition_names)
        return self.send(
            rest.entities.query(
                collection_name,
                filter=filter,
                output_fields=output_fields,
                limit=limit,
                offset=offset,
                filter_params=filter_params,
                partitions=partition_names,
                params=_consistency(consistency_level),
            )
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
        :param output_fields: names of the fields to read; None: all. The primary key is always included.
        :return: pages of rows, none of them empty
        :raises UnexpectedError: if the server does not answer in the order of keys, since rows would be missing
        """
        arguments.check_names(output_fields=output_fields, partition_names=partition_names)
        key = self._primary_key(collection_name)
        selected, left = filter, limit
        last: Any = None
        while left is None or left > 0:
            page = self.query(
                collection_name,
                selected,
                output_fields=None if output_fields is None else list(dict.fromkeys([key.name, *output_fields])),
                limit=batch_size if left is None else min(batch_size, left),
                filter_params=filter_params,
                partition_names=partition_names,
                consistency_level=consistency_level,
            )
            if not page:  # a short page is not necessarily the last one
                return
            keys = [int(row[key.name]) if key.type == "Int64" else row[key.name] for row in page]
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
        arguments.check_names(partition_names=partition_names)
        return self.send(
            rest.entities.count(collection_name, filter=filter, filter_params=filter_params, partitions=partition_names)
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
    ) -> list[list[dict[str, Any]]]:
        """
        Find the nearest rows of each of several vectors (:func:`~airflow_vectordb.rest.entities.search`).

        :param data: query vectors: a list, or a NumPy array of two dimensions
        :param anns_field: the vector field; None: the only one
        :param limit: hits for each vector
        :param search_params: ``{"metric_type": "L2", "params": {"ef": 64}}``, or the parameters alone
        :param group_by_field: one hit for each value of this field
        :return: for each vector its hits, nearest first, each with the primary key, ``distance`` and the output fields
        """
        arguments.check_names(output_fields=output_fields, partition_names=partition_names)
        vectors = arguments.list_vectors(data)
        options = {**_consistency(consistency_level), **({"groupingField": group_by_field} if group_by_field else {})}
        return self.send(
            rest.entities.search(
                collection_name,
                vectors,
                anns_field=anns_field,
                limit=limit,
                offset=offset,
                filter=filter,
                output_fields=output_fields,
                search_params=_search_params(search_params),
                filter_params=filter_params,
                partitions=partition_names,
                options=options,
            )
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
    ) -> list[list[dict[str, Any]]]:
        """
        Search several vector fields, and merge the hits (:func:`~airflow_vectordb.rest.entities.hybrid_search`).

        :param reqs: a search for each field: ``{"data": [vector], "annsField": "dense", "limit": 20, "params": {…}}``
        :param ranker: ``{"strategy": "rrf", "params": {"k": 60}}`` (None), or ``{"strategy": "weighted", "params":
            {"weights": [0.7, 0.3]}}``
        :param limit: hits for each vector
        :return: for each vector its hits, best first
        """
        arguments.check_names(output_fields=output_fields, partition_names=partition_names)
        arguments.check_searches(reqs)
        return self.send(
            rest.entities.hybrid_search(
                collection_name,
                reqs,
                rerank=ranker,
                limit=limit,
                offset=offset,
                output_fields=output_fields,
                partitions=partition_names,
                options=_consistency(consistency_level),
            )
        )

    def _primary_key(self, collection_name: str) -> Field:
        fields = self.send(rest.collections.describe(collection_name)).fields
        return next(field for field in fields if field.is_primary)


def _batches(data: Any) -> Iterator[Any]:
    """Encode rows, and divide them into requests."""
    from airflow_vectordb.ingest.batches import MAX_BYTES, MAX_ROWS  # only needed to write rows
    from airflow_vectordb.ingest.memory import source_of
    from airflow_vectordb.ingest.source import Unreadable
    from airflow_vectordb.rest.http.json import EncodedRows, encode

    rows: list[bytes | bytearray] = []
    size = 0
    for block in source_of([data] if isinstance(data, Mapping) else data).blocks():
        for number, row in enumerate(block.rows, start=block.first + 1):
            if isinstance(row, Unreadable):
                raise rest.errors.InvalidParametersError([f"row {number:,}: {row.reason}"], "rows")
            encoded = encode(row)
            if rows and (size + len(encoded) > MAX_BYTES or len(rows) >= MAX_ROWS):
                yield EncodedRows(rows)
                rows, size = [], 0
            rows.append(encoded)
            size += len(encoded) + 1
    if rows:
        yield EncodedRows(rows)


def _search_params(given: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the API's ``searchParams``: the metric, and the search parameters in ``params``."""
    if not given:
        return None
    found = dict(given)
    metric = found.pop("metric_type", None) or found.pop("metricType", None)
    inner = dict(found.pop("params", None) or {})
    params = {**found, **inner}
    # The API reference documents one place, Milvus 2.6 reads the other.
    metrics = {"metricType": metric, "metric_type": metric} if metric else {}
    return {**metrics, **({"params": params} if params else {})}


def _consistency(level: ConsistencyLevel | None) -> dict[str, str]:
    return {"consistencyLevel": level} if level else {}


def _order(key: Any) -> Any:
    """Return a key's sort key on the server: strings are compared by bytes."""
    return key.encode() if isinstance(key, str) else key


__all__ = ["EntityMethods"]
