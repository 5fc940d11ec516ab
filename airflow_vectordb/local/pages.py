"""Pages for a browser: a description of this server, and a page to list and try its operations.

The page is generated from the same table as the OpenAPI document, and loads nothing from other servers, so it works
without a network.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape
from itertools import groupby
from operator import attrgetter
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, Response

import airflow_vectordb
from airflow_vectordb.local.body import json_schema
from airflow_vectordb.local.endpoints.table import ENDPOINTS, Endpoint

_REST_ONLY = "It speaks REST only, no gRPC: pymilvus cannot connect to it."

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
code, pre, textarea { font: 13px/1.5 ui-monospace, monospace; }
details { border: 1px solid #8886; border-radius: 4px; margin: .3rem 0; padding: .3rem .6rem; }
summary { cursor: pointer; }
table { border-collapse: collapse; margin: .6rem 0; }
td { padding: .1rem 1rem .1rem 0; vertical-align: top; }
textarea { width: 100%; box-sizing: border-box; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; }
"""

_SCRIPT = """
for (const form of document.forms) form.addEventListener("submit", async event => {
  event.preventDefault();
  const answer = form.querySelector("pre"), token = document.getElementById("token").value;
  const headers = {"Content-Type": "application/json", "Accept-Type-Allow-Int64": "true"};
  if (token) headers.Authorization = "Bearer " + token;
  answer.textContent = "…";
  try {
    const response = await fetch(form.action, {method: "POST", headers, body: form.elements.body.value});
    answer.textContent = "HTTP " + response.status + "\\n" + await response.text();
  } catch (error) {
    answer.textContent = String(error);
  }
});
"""


def add_pages(app: FastAPI) -> None:
    """Add pages to an application: ``/`` describes it, ``/docs`` lists its operations."""
    page = _page(app.title)

    @app.get("/", include_in_schema=False)
    async def index(request: Request) -> Response:
        base = str(request.base_url)
        about = {
            "name": app.title,
            "version": airflow_vectordb.__version__,
            "about": f"A server for development and tests, of the Airflow provider airflow_vectordb. {_REST_ONLY}",
            "api": f"{base}v2/vectordb/",
            "docs": f"{base}docs",
            "openapi": f"{base}openapi.json",
        }
        return Response(orjson.dumps(about, option=orjson.OPT_INDENT_2), media_type="application/json")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return HTMLResponse(page)


def _page(title: str) -> str:
    parts = [
        '<!doctype html><html lang="en"><meta charset="utf-8"><link rel="icon" href="data:,">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style>",
        f"<h1>{escape(title)}</h1>",
        f"<p>airflow_vectordb {airflow_vectordb.__version__}, for development and tests. {_REST_ONLY} ",
        'This list as <a href="/openapi.json">OpenAPI</a>.</p>',
        '<p><label>Token, where one is needed and the browser has not asked for it: <input id="token" type="password" ',
        'placeholder="user:password" autocomplete="off"></label></p>',
    ]
    listed = sorted(ENDPOINTS.values(), key=attrgetter("path"))
    for resource, endpoints in groupby(listed, lambda one: one.path.split("/", 1)[0]):
        parts += [f"<h2>{escape(resource)}</h2>", *map(_entry, endpoints)]
    parts.append(f"<script>{_SCRIPT}</script></html>")
    return "".join(parts)


def _entry(endpoint: Endpoint) -> str:
    schema = json_schema(endpoint.request)
    example = orjson.dumps(_example(schema), option=orjson.OPT_INDENT_2).decode()
    path = f"/v2/vectordb/{endpoint.path}"
    return (
        f'<details id="{escape(endpoint.path)}"><summary><code>POST {escape(path)}</code> '
        f"{escape(endpoint.summary)}</summary><table>{''.join(_rows(schema))}</table>"
        f'<form action="{escape(path)}"><textarea name="body" rows="{example.count(chr(10)) + 1}" '
        f'spellcheck="false">{escape(example)}</textarea><button>Send</button><pre></pre></form></details>'
    )


def _rows(schema: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Return a line for each key of a body, and of the objects in it."""
    required = schema.get("required", [])
    for name, entry in schema.get("properties", {}).items():
        inner = entry.get("items", entry)
        kind = entry.get("type", "any") + (f" of {inner['type']}" if inner is not entry and "type" in inner else "")
        notes: Iterable[str] = (entry.get("description", ""), "Required." if name in required else "")
        text = escape(" ".join(filter(None, notes)))
        yield f"<tr><td><code>{escape(prefix + name)}</code><td>{escape(kind)}<td>{text}"
        yield from _rows(inner, f"{prefix}{name}{'[]' if inner is not entry else ''}.")


def _example(schema: dict[str, Any]) -> Any:
    """Return a body with the required fields."""
    kind = schema.get("type")
    if kind == "object":
        properties = schema.get("properties", {})
        return {name: _example(properties[name]) for name in schema.get("required", [])}
    if kind == "array":
        inner = _example(schema["items"])
        return [inner] if inner else []
    return {"string": "", "integer": 0, "number": 0, "boolean": False}.get(kind or "")
