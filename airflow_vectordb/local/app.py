"""The HTTP side of the local server: what a request must look like, how long it may take, what is answered.

Who may call is checked in :mod:`~airflow_vectordb.local.guard`; what each endpoint does is in
:mod:`~airflow_vectordb.local.endpoints`.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import logging
import re
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse, Response
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

import airflow_vectordb
from airflow_vectordb.local.body import json_schema, read
from airflow_vectordb.local.endpoints import (
    access,
    aliases,
    collections,
    databases,
    entities,
    imports,
    indexes,
    partitions,
    schemas,
    search,
    storage,
)
from airflow_vectordb.local.endpoints.absent import ABSENT
from airflow_vectordb.local.endpoints.table import ENDPOINTS, Endpoint, RequestContext
from airflow_vectordb.local.engine.base import Engine
from airflow_vectordb.local.engine.caller import DEADLINE
from airflow_vectordb.local.errors import ApiError, bad_format, not_here, time_out
from airflow_vectordb.local.guard import MAX_BODY, AllowedHosts, Guard, discard_body
from airflow_vectordb.local.pages import add_pages

# Importing them fills the table of endpoints.
_MODULES = (access, aliases, collections, databases, entities, imports, indexes, partitions, schemas, search, storage)

_ROOT = "/v2/vectordb/"
_DEFAULT_TIMEOUT = 30.0
# Beyond a day all are the same; engines take no deadline that is ages away.
_MOST_TIMEOUT = 86_400.0
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)
_WORKERS = 64
_MOST_MESSAGE = 4000
_log = logging.getLogger("airflow_vectordb.local.requests")


def build_app(engine: Engine, token: str | None = None, hosts: AllowedHosts | None = None) -> FastAPI:
    """Return the application.

    :param token: what callers must send, ``user:password`` or a key; None lets every caller in.
    :param hosts: the names that it may be called by; None for those of this machine's loopback interface.
    """
    app = FastAPI(
        title="Milvus REST API v2, local",
        version=airflow_vectordb.__version__,
        # FastAPI's own pages load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={404: _not_found, 405: _not_found},
    )
    add_pages(app)
    app.add_middleware(Guard, hosts=hosts or AllowedHosts(), token=token)
    pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="call")
    for path, endpoint in ENDPOINTS.items():
        resource = path.split("/", 1)[0]
        app.add_api_route(
            f"{_ROOT}{path}",
            _handler(endpoint, engine, pool),
            methods=["POST"],
            summary=endpoint.summary,
            tags=[resource],
            operation_id=path.replace("/", "_"),
            response_class=Response,
            openapi_extra={
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": json_schema(endpoint.request)}},
                }
            },
        )
    app.router.routes.insert(0, _ByPath(app.router.routes))
    return app


class _ByPath(BaseRoute):
    """Finds an endpoint in a dict: to match the pattern of each in turn takes a seventh of a request."""

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        self._routes = {route.path: route for route in routes if isinstance(route, APIRoute)}

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        route = self._routes.get(scope["path"])
        return (Match.NONE, {}) if route is None else route.matches(scope)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._routes[scope["path"]].handle(scope, receive, send)


async def _not_found(request: Request, error: Exception) -> Response:
    """Return what Milvus says to a path or method that it does not know."""
    await discard_body(request.receive)
    path = request.url.path.removesuffix("/")
    if request.method == "POST" and path != request.url.path and path.removeprefix(_ROOT) in ENDPOINTS:
        query = f"?{request.url.query}" if request.url.query else ""
        return Response(status_code=307, headers={"Location": f"{path}{query}"})
    if request.method == "POST" and path.removeprefix(_ROOT) in ABSENT:
        status, _, content = _failure(not_here(path.removeprefix(_ROOT)))
        return Response(content, status, media_type="application/json; charset=utf-8")
    return PlainTextResponse("404 page not found", status_code=404)


def _handler(endpoint: Endpoint, engine: Engine, pool: ThreadPoolExecutor) -> Callable[[Request], Awaitable[Response]]:
    async def handle(request: Request) -> Response:
        started = monotonic()
        try:
            body = await _body(request)
            timeout = _timeout(request)
            if timeout <= 0:
                raise time_out()
            DEADLINE.set(started + timeout)
            work = functools.partial(_work, endpoint, engine, dict(request.headers), body)
            # The context carries the credentials and the deadline into the thread.
            context = contextvars.copy_context()
            future = asyncio.get_running_loop().run_in_executor(pool, context.run, work)
            try:
                # Shielded: as on Milvus, the work goes on when the caller has had a time-out.
                status, code, content = await asyncio.wait_for(asyncio.shield(future), timeout)
            except asyncio.TimeoutError:
                raise time_out() from None
            except asyncio.CancelledError:
                # The server stops; whether the work gets done before the process ends is open.
                raise ApiError(2, "service unavailable: the local server is stopping", http_status=503) from None
        except ApiError as error:
            status, code, content = _failure(error)
        except ClientDisconnect:
            # It went away, or took too long over the body; this answer reaches no one.
            status, code, content = _failure(time_out())
        # No token, no body, no rows: only what was called and how it went.
        _log.info("%s %d code=%d %.1f ms", endpoint.path, status, code, (monotonic() - started) * 1000)
        # Of a body that is too large there may be more to come.
        headers = {"connection": "close"} if status == 413 else None
        return Response(content, status, headers, media_type="application/json; charset=utf-8")

    return handle


def _work(endpoint: Endpoint, engine: Engine, headers: dict[str, str], raw: bytes) -> tuple[int, int, bytes]:
    """Everything that takes time, in a worker thread: reading JSON, the work, writing JSON."""
    try:
        request: Any = read(endpoint.request, endpoint.decode(raw))
        database = getattr(request, "db_name", "") or headers.get("db-name", "") or "default"
        # Milvus makes them numbers unless it is asked not to, in one of Go's words for it.
        as_numbers = headers.get("accept-type-allow-int64") not in ("0", "f", "F", "FALSE", "False", "false")
        answer = endpoint.answer(RequestContext(engine, database, as_numbers), request)
        return 200, 0, orjson.dumps({"code": 0, **answer}, option=orjson.OPT_SERIALIZE_NUMPY)
    except ApiError as error:
        return _failure(error)
    except RecursionError:
        return _failure(bad_format("the request is nested too deeply"))
    except Exception:
        # The caller sees that it failed, the log says why.
        logging.getLogger(__name__).exception("%s failed", endpoint.path)
        return 500, 500, orjson.dumps({"code": 500, "message": "internal error, see the log of the local server"})


def _failure(error: ApiError) -> tuple[int, int, bytes]:
    message = error.message
    if len(message) > _MOST_MESSAGE:
        # It repeats what was sent, a filter of many megabytes for instance.
        message = f"{message[:_MOST_MESSAGE]} […]"
    return error.http_status, error.code, orjson.dumps({"code": error.code, "message": message})


def _timeout(request: Request) -> float:
    given = request.headers.get("request-timeout", "")
    return min(float(given), _MOST_TIMEOUT) if _INTEGER.fullmatch(given) else _DEFAULT_TIMEOUT


async def _body(request: Request) -> bytes:
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_BODY:
            raise ApiError(1102, f"the request body exceeds {MAX_BODY} bytes: parameter too large", http_status=413)
        chunks.append(chunk)
    return b"".join(chunks)
