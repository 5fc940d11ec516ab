"""Calls on ``/v2/vectordb/entities``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

from airflow_vectordb.rest.http.call import Answer, Call, build_body
from airflow_vectordb.rest.result import Result

Row = Mapping[str, Any]
#: Ids that the text of a :class:`Written` has.
SHOWN_IDS = 10


@dataclass(frozen=True)
class Written(Result):
    """
    What an insert or upsert did.

    :param count: rows written
    :param ids: their primary keys, in the order of the rows
    """

    count: int
    ids: tuple[Any, ...]

    def __repr__(self) -> str:
        # Airflow logs what a task returns, and that is the line of a log.
        more = f", … {len(self.ids) - SHOWN_IDS:,} more" if len(self.ids) > SHOWN_IDS else ""
        return f"Written(count={self.count}, ids=({', '.join(map(repr, self.ids[:SHOWN_IDS]))}{more}))"


def insert(
    collection: str, rows: Sequence[Row], *, partition: str | None = None, database: str | None = None
) -> Call[Written]:
    """
    Insert rows. With ids that the server makes, a second insert adds the rows again: the call is not repeated.

    :param collection: name of the collection
    :param rows: row objects, field name -> value; vectors as lists of numbers or NumPy arrays. Nothing in them is
        changed. One request may have about 64 MiB.
    :param partition: name of a partition; None: the default one
    :param database: its database; None: the configured one
    """
    body = build_body(database, collectionName=collection, partitionName=partition, data=rows)
    return Call("entities/insert", body, lambda a: _written(a, "insert"), idempotent=False)


def upsert(
    collection: str, rows: Sequence[Row], *, partition: str | None = None, database: str | None = None
) -> Call[Written]:
    """
    Insert rows, or replace those with the same primary key. The call may be repeated.

    :param collection: name of the collection
    :param rows: row objects with their primary keys, as for :func:`insert`
    :param partition: name of a partition; None: the default one
    :param database: its database; None: the configured one
    """
    body = build_body(database, collectionName=collection, partitionName=partition, data=rows)
    return Call("entities/upsert", body, lambda a: _written(a, "upsert"))


def delete(collection: str, filter: str, *, partition: str | None = None, database: str | None = None) -> Call[None]:
    """
    Delete the rows that a filter selects.

    :param collection: name of the collection
    :param filter: a boolean expression, for example ``id in [1, 2]``
    :param partition: name of a partition; None: all
    :param database: its database; None: the configured one
    """
    body = build_body(database, collectionName=collection, partitionName=partition, filter=filter)
    return Call("entities/delete", body, lambda a: None)


def query(
    collection: str,
    *,
    filter: str | None = None,
    output_fields: Sequence[str] | None = None,
    limit: int | None = None,
    offset: int | None = None,
    params: Mapping[str, Any] | None = None,
    database: str | None = None,
) -> Call[list[dict[str, Any]]]:
    """
    Read the rows that a filter selects.

    :param collection: name of the collection
    :param filter: a boolean expression; None: all rows
    :param output_fields: names of the fields to read; ``["count(*)"]`` counts
    :param limit: rows at most, 1 to 16384; None: the server's default
    :param offset: rows to skip
    :param params: further fields of the request, for example ``{"consistencyLevel": "Strong"}``
    :param database: its database; None: the configured one
    :return: rows, values as the server gives them (JSON fields come as strings)
    """
    body = build_body(
        database,
        collectionName=collection,
        filter=filter,
        outputFields=_list(output_fields),
        limit=limit,
        offset=offset,
        **dict(params or {}),
    )
    return Call("entities/query", body, _rows)


def count(collection: str, *, database: str | None = None) -> Call[int]:
    """
    Count the rows of a loaded collection exactly, unsealed ones included (strong consistency).

    :param collection: name of the collection
    :param database: its database; None: the configured one
    """
    body = build_body(database, collectionName=collection, outputFields=["count(*)"], consistencyLevel="Strong")
    return Call("entities/query", body, lambda a: int(a.data[0]["count(*)"]))


def get(
    collection: str,
    ids: Sequence[int | str],
    *,
    output_fields: Sequence[str] | None = None,
    database: str | None = None,
) -> Call[list[dict[str, Any]]]:
    """
    Read rows by their primary keys.

    :param collection: name of the collection
    :param ids: primary keys
    :param output_fields: names of the fields to read
    :param database: its database; None: the configured one
    """
    body = build_body(database, collectionName=collection, id=list(ids), outputFields=_list(output_fields))
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
    database: str | None = None,
) -> Call[list[list[dict[str, Any]]]]:
    """
    Find the nearest rows of each of several vectors.

    :param collection: name of the collection, which must be loaded
    :param vectors: query vectors
    :param anns_field: the vector field; None: the only one
    :param limit: hits for each vector
    :param filter: a boolean expression that hits must satisfy
    :param output_fields: names of the fields to read of each hit
    :param params: parameters of the index, for example ``{"ef": 64}`` (``searchParams.params``)
    :param search_params: the whole ``searchParams``, with ``params`` put into it
    :param database: its database; None: the configured one
    :return: for each vector its hits, nearest first: primary key under its own name, ``distance``, output fields
    """
    searching = dict(search_params or {})
    if params:
        searching["params"] = {**dict(searching.get("params") or {}), **params}
    body = build_body(
        database,
        collectionName=collection,
        data=vectors,
        annsField=anns_field,
        limit=limit,
        filter=filter,
        outputFields=_list(output_fields),
        searchParams=searching or None,
    )

    def read(answer: Answer) -> list[list[dict[str, Any]]]:
        # The hits of all vectors come as one flat list, and `topks` says how many belong to each.
        hits, found = _rows(answer), answer.envelope.get("topks")
        if not hits and not found:  # without any hit there are no topks either
            return [[] for _ in vectors]
        if found is None:
            if len(vectors) == 1:
                return [hits]
            found = [limit] * len(vectors)
            if sum(found) != len(hits):
                raise ValueError(f"{len(hits)} hits for {len(vectors)} vectors, and no topks to divide them by")
        bounds = [0, *accumulate(int(count) for count in found)]
        if bounds[-1] != len(hits) or len(found) != len(vectors):
            raise ValueError(f"topks {found} do not divide {len(hits)} hits among {len(vectors)} vectors")
        return [hits[start:end] for start, end in pairwise(bounds)]

    return Call("entities/search", body, read)


def _written(answer: Answer, verb: str) -> Written:
    data = answer.data
    return Written(int(data[f"{verb}Count"]), tuple(data.get(f"{verb}Ids") or ()))


def _rows(answer: Answer) -> list[dict[str, Any]]:
    return [dict(row) for row in answer.data or []]


def _list(names: Sequence[str] | None) -> list[str] | None:
    return None if names is None else list(names)


__all__ = ["Row", "Written", "count", "delete", "get", "insert", "query", "search", "upsert"]
