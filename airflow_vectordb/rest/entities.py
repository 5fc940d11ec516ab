"""Calls on ``/v2/vectordb/entities``.

Several functions take

- ``filter``: a boolean expression, for example ``id in [1, 2]``; None: all rows
- ``filter_params``: values for the ``{names}`` in the filter
- ``output_fields``: names of the fields to read; ``["count(*)"]`` counts
- ``partitions``: names of the partitions to look into; None: all
- ``params`` of a query, ``options`` of a search: further fields of the request, as ``{"consistencyLevel": "Strong"}``
- ``database``: the collection's; None: the configured one
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

from airflow_vectordb.rest import lists
from airflow_vectordb.rest.http.call import Answer, Call, build_body
from airflow_vectordb.rest.result import Result

Row = Mapping[str, Any]
#: Ids that the text of a :class:`Written` has.
SHOWN_IDS = 10
# Under which arrays have their elements, by type.
_SLOTS = {"BoolData", "IntData", "LongData", "FloatData", "DoubleData", "StringData"}


@dataclass(frozen=True)
class Written(Result):
    """What an insert or upsert did; ``ids`` are the primary keys, in the order of the rows."""

    count: int
    ids: tuple[Any, ...]

    def __repr__(self) -> str:
        # Airflow logs what a task returns, in one line.
        more = f", … {len(self.ids) - SHOWN_IDS:,} more" if len(self.ids) > SHOWN_IDS else ""
        return f"Written(count={self.count}, ids=({', '.join(map(repr, self.ids[:SHOWN_IDS]))}{more}))"


def insert(
    collection: str, rows: Sequence[Row], *, partition: str | None = None, database: str | None = None
) -> Call[Written]:
    """
    Insert rows. With generated ids, a second insert adds the rows again, so the call is not retried.

    :param rows: row objects, field name -> value; vectors as lists of numbers or NumPy arrays; about 64 MiB at most
    :param partition: name of a partition; None: the default one
    """
    lists.check_list("rows", rows, "row objects")
    body = build_body(database, collectionName=collection, partitionName=partition, data=rows)
    return Call("entities/insert", body, lambda a: _written(a, "insert"), idempotent=False)


def upsert(
    collection: str,
    rows: Sequence[Row],
    *,
    partition: str | None = None,
    partial: bool = False,
    database: str | None = None,
) -> Call[Written]:
    """
    Insert rows, or replace those with the same primary key. The call may be repeated.

    :param rows: row objects with their primary keys, as for :func:`insert`
    :param partial: whether fields that a row does not have keep their values (Milvus 2.6)
    """
    lists.check_list("rows", rows, "row objects")
    update = partial or None  # older servers do not know it
    body = build_body(database, collectionName=collection, partitionName=partition, data=rows, partialUpdate=update)
    return Call("entities/upsert", body, lambda a: _written(a, "upsert"))


def delete(
    collection: str,
    filter: str,
    *,
    filter_params: Mapping[str, Any] | None = None,
    partition: str | None = None,
    database: str | None = None,
) -> Call[int | None]:
    """
    Delete the rows that a filter selects.

    :return: what the server counts: of a filter that lists primary keys, the keys, whether there were such rows or not;
        None: it does not count (before Milvus 2.6)
    """
    body = build_body(
        database, collectionName=collection, partitionName=partition, filter=filter, exprParams=filter_params
    )
    return Call("entities/delete", body, _deleted)


def query(
    collection: str,
    *,
    filter: str | None = None,
    output_fields: Sequence[str] | None = None,
    limit: int | None = None,
    offset: int | None = None,
    filter_params: Mapping[str, Any] | None = None,
    partitions: Sequence[str] | None = None,
    params: Mapping[str, Any] | None = None,
    database: str | None = None,
) -> Call[list[dict[str, Any]]]:
    """
    Read the rows that a filter selects. Milvus takes those with the lowest primary keys first.

    :param limit: rows at most, 1 to 16384; None: the server's default
    :return: rows, values as the server gives them (JSON fields come as strings), but arrays as lists
    """
    lists.check_integers(limit=limit, offset=offset)
    selected = {"filter": filter, "exprParams": filter_params, "limit": limit, "offset": offset}
    body = _body(collection, database, output_fields, partitions, params, **selected)
    return Call("entities/query", body, _rows)


def count(
    collection: str,
    *,
    filter: str | None = None,
    filter_params: Mapping[str, Any] | None = None,
    partitions: Sequence[str] | None = None,
    database: str | None = None,
) -> Call[int]:
    """Count the rows of a loaded collection exactly, unsealed ones included (strong consistency)."""
    strong = {"consistencyLevel": "Strong"}
    body = _body(collection, database, ["count(*)"], partitions, strong, filter=filter, exprParams=filter_params)
    return Call("entities/query", body, lambda a: int(a.data[0]["count(*)"]))


def get(
    collection: str,
    ids: Sequence[int | str],
    *,
    output_fields: Sequence[str] | None = None,
    partitions: Sequence[str] | None = None,
    params: Mapping[str, Any] | None = None,
    database: str | None = None,
) -> Call[list[dict[str, Any]]]:
    """Read rows by their primary keys."""
    body = _body(collection, database, output_fields, partitions, params, id=lists.as_keys("ids", ids))
    return Call("entities/get", body, _rows)


def search(
    collection: str,
    vectors: Sequence[Any],
    *,
    anns_field: str | None = None,
    limit: int = 10,
    filter: str | None = None,
    output_fields: Sequence[str] | None = None,
    params: Mapping[str, Any] | None = None,
    search_params: Mapping[str, Any] | None = None,
    offset: int | None = None,
    filter_params: Mapping[str, Any] | None = None,
    partitions: Sequence[str] | None = None,
    options: Mapping[str, Any] | None = None,
    database: str | None = None,
) -> Call[list[list[dict[str, Any]]]]:
    """
    Find the nearest rows of each of several vectors.

    :param vectors: query vectors; strings, if a function turns text into vectors; empty with ``options={"ids": [7]}``,
        which searches by the vectors of rows (Milvus 3.0)
    :param anns_field: the vector field; None: the only one
    :param limit: hits for each vector
    :param params: parameters of the index, for example ``{"ef": 64}``, put into ``search_params``
    :param search_params: the whole ``searchParams``
    :return: for each vector its hits, nearest first: primary key under its own name, ``distance``, output fields
    """
    vectors = lists.as_vectors("vectors", vectors)
    lists.check_integers(limit=limit, offset=offset)
    searching = dict(search_params or {})
    if params:
        searching["params"] = {**dict(searching.get("params") or {}), **params}
    selected = {"filter": filter, "exprParams": filter_params, "limit": limit, "offset": offset}
    nearest = {"data": vectors, "annsField": anns_field, "searchParams": searching or None}
    body = _body(collection, database, output_fields, partitions, options, **nearest, **selected)
    searches = len(vectors or body.get("ids") or ())
    return Call("entities/search", body, lambda a: _hits(a, searches, limit))


def hybrid_search(
    collection: str,
    searches: Sequence[Mapping[str, Any]],
    *,
    rerank: Mapping[str, Any] | None = None,
    limit: int = 10,
    offset: int | None = None,
    output_fields: Sequence[str] | None = None,
    partitions: Sequence[str] | None = None,
    options: Mapping[str, Any] | None = None,
    database: str | None = None,
) -> Call[list[list[dict[str, Any]]]]:
    """
    Search several vector fields, and merge the hits.

    :param searches: one for each field: ``{"data": [vector], "annsField": "dense", "limit": 20, "filter": …, "params":
        {"ef": 64}}``, each with the same number of vectors (or of strings, if a function turns text into vectors);
        pymilvus's ``anns_field``, ``expr`` and ``param`` are accepted
    :param rerank: how they are merged: ``{"strategy": "rrf", "params": {"k": 60}}`` (None) or
        ``{"strategy": "weighted", "params": {"weights": [0.7, 0.3]}}``
    :param limit: hits in all for each vector
    :return: for each vector its hits, best first, as of :func:`search`
    """
    found = lists.as_searches("searches", searches)
    lists.check_integers(limit=limit, offset=offset)
    rerank = {"strategy": "rrf", "params": {"k": 60}} if rerank is None else rerank
    rerank = lists.as_mapping("rerank", rerank, '{"strategy": "rrf"}')
    merged = {"search": found, "rerank": rerank, "limit": limit, "offset": offset}
    body = _body(collection, database, output_fields, partitions, options, **merged)
    vectors = len(found[0].get("data") or ()) if found else 0
    return Call("entities/hybrid_search", body, lambda a: _hits(a, vectors, limit))


def _body(
    collection: str,
    database: str | None,
    output_fields: Sequence[str] | None,
    partitions: Sequence[str] | None,
    options: Mapping[str, Any] | None,
    /,
    **fields: Any,
) -> dict[str, Any]:
    """Build the body of a request that reads rows."""
    return build_body(
        database,
        collectionName=collection,
        outputFields=lists.as_list_or_none("output_fields", output_fields),
        partitionNames=lists.as_partitions("partitions", partitions),
        **fields,
        **(options or {}),
    )


def _hits(answer: Answer, vectors: int, limit: int) -> list[list[dict[str, Any]]]:
    # The hits of all vectors come as one flat list, and `topks` says how many belong to each.
    hits, found = _rows(answer), answer.envelope.get("topks")
    if not hits and not found:  # without hits there are no topks
        return [[] for _ in range(vectors)]
    topks = found or ([len(hits)] if vectors == 1 else [limit] * vectors)
    bounds = [0, *accumulate(int(count) for count in topks)]
    if bounds[-1] != len(hits) or len(topks) != vectors:
        given = f"topks {found}" if found else "no topks"
        raise ValueError(f"{len(hits)} hits for {vectors} vectors, and {given} to divide them by")
    return [hits[start:end] for start, end in pairwise(bounds)]


def _written(answer: Answer, verb: str) -> Written:
    data = answer.data
    return Written(int(data[f"{verb}Count"]), tuple(data.get(f"{verb}Ids") or ()))


def _deleted(answer: Answer) -> int | None:
    count = answer.data.get("deleteCount") if isinstance(answer.data, Mapping) else None
    return None if count is None else int(count)


def _rows(answer: Answer) -> list[dict[str, Any]]:
    rows = answer.data if answer.data is not None else []
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise TypeError("a list of rows was expected")
    for row in rows:
        for name, value in row.items():
            if type(value) is dict and value.keys() == {"Data"}:
                row[name] = _unwrapped(value)
    return rows


def _unwrapped(value: dict[str, Any]) -> Any:
    """Return the elements of an array, which come as ``{"Data": {"LongData": {"data": [1, 2]}}}``."""
    slots = value["Data"]
    if isinstance(slots, dict) and len(slots) == 1 and slots.keys() <= _SLOTS:
        (elements,) = slots.values()
        if isinstance(elements, dict):  # without data, it is empty
            return elements.get("data") or []
    return value
