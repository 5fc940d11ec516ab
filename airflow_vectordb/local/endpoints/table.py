"""The table of endpoints: a path, what its body may hold, and what it does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from airflow_vectordb.local.body import decode
from airflow_vectordb.local.engine.base import Engine
from airflow_vectordb.local.engine.names import check_name
from airflow_vectordb.local.errors import ApiError, rejected

Answer = dict[str, Any]
T = TypeVar("T")
Action = Callable[["RequestContext", T], "Answer | None"]

ENDPOINTS: dict[str, Endpoint] = {}

# Where Milvus can't find a missing collection; elsewhere it is not found.
_FINDING = ("collections/describe", "entities/")


@dataclass(frozen=True)
class RequestContext:
    """What an endpoint is given besides the body.

    :param database: from the body, else the ``DB-Name`` header, else ``default``.
    :param int64_as_numbers: False if the caller sent ``Accept-Type-Allow-Int64: false``.
    """

    engine: Engine
    database: str
    int64_as_numbers: bool = False


@dataclass(frozen=True)
class Endpoint:
    """One endpoint.

    :param path: what follows ``/v2/vectordb/``.
    :param request: the dataclass that its body is read into.
    :param summary: one line for ``/docs``.
    :param action: does it, and returns what the answer holds besides ``code``; None for no data.
    :param limiter: the codes of what Milvus's limiter looks up before the call is made. When that does not exist, the
        answer is the limiter's, and has its code.
    :param decode: decodes the JSON of its body.
    """

    path: str
    request: type
    summary: str
    action: Action[Any]
    limiter: tuple[int, ...]
    decode: Callable[[bytes], Any]

    def answer(self, context: RequestContext, body: Any) -> Answer:
        try:
            # The limiter looks a collection up before anything looks at its name.
            if 100 not in self.limiter and (name := getattr(body, "collection_name", "")):
                check_name("collection name", name)
            return self.action(context, body) or {"data": {}}
        except ApiError as error:
            if not self.path.startswith(_FINDING):
                error.message = error.message.replace("can't find collection", "collection not found")
            if error.code in self.limiter:
                raise rejected(error.message) from None
            raise


def endpoint(
    path: str, request: type[T], *, limiter: tuple[int, ...] = (), decode: Callable[[bytes], Any] = decode
) -> Callable[[Action[T]], Action[T]]:
    """Enter a function into the table; the first line of its docstring is the summary. See :class:`Endpoint`."""

    def enter(action: Action[T]) -> Action[T]:
        summary = (action.__doc__ or "").strip().splitlines()[0]
        ENDPOINTS[path] = Endpoint(path, cast("type[Any]", request), summary, action, limiter, decode)
        return action

    return enter
