"""The table of endpoints: a path, what its body may hold, and what it does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, cast

from airflow_vectordb.local.body import Key
from airflow_vectordb.local.engine.base import Engine
from airflow_vectordb.local.errors import ApiError, rejected

__all__ = ["DONE", "ENDPOINTS", "Answer", "Call", "Endpoint", "InDatabase", "endpoint"]

Answer = dict[str, Any]
T = TypeVar("T")

DONE: Answer = {"data": {}}
"""What is answered where there is nothing to say."""


@dataclass(frozen=True)
class Call:
    """What an endpoint is told besides the body.

    :param database: from the body, else the ``DB-Name`` header, else ``default``.
    :param int64_as_numbers: False if the caller sent ``Accept-Type-Allow-Int64: false``.
    """

    engine: Engine
    database: str
    int64_as_numbers: bool = False


@dataclass(frozen=True, kw_only=True)
class InDatabase:
    """What nearly every body may hold."""

    db_name: Annotated[str, Key("dbName", "The database; the DB-Name header, else `default`, when it is left out.")] = (
        ""
    )


@dataclass(frozen=True)
class Endpoint:
    """One endpoint.

    :param path: what follows ``/v2/vectordb/``.
    :param request: the dataclass that its body is read into.
    :param act: does it, and gives what the answer holds besides ``code``.
    """

    path: str
    request: type
    act: Callable[[Call, Any], Answer]
    summary: str


ENDPOINTS: dict[str, Endpoint] = {}


def endpoint(
    path: str, request: type[T], *, limiter: tuple[int, ...] = ()
) -> Callable[[Callable[[Call, T], Answer]], Callable[[Call, T], Answer]]:
    """Enter a function into the table.

    :param path: what follows ``/v2/vectordb/``.
    :param request: the dataclass of its body.
    :param limiter: the codes of what Milvus's limiter looks up before the call is made. When it is not there, the
        answer is the limiter's, and has its code.
    """

    def enter(act: Callable[[Call, T], Answer]) -> Callable[[Call, T], Answer]:
        def limited(call: Call, body: T) -> Answer:
            try:
                return act(call, body)
            except ApiError as error:
                if error.code not in limiter:
                    raise
                # In these words of the several that Milvus has for it.
                raise rejected(error.message.replace("can't find collection", "collection not found")) from None

        summary = (act.__doc__ or "").strip().splitlines()[0]
        ENDPOINTS[path] = Endpoint(path, cast("type[Any]", request), limited if limiter else act, summary)
        return act

    return enter
