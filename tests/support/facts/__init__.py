"""What Milvus's own REST handler answers, as facts that the local server is held to: a request, status, code and data.

Each module here has ``FACTS``: for each subject a list of facts, which are run in order in a database of their own. A
new module needs no entry anywhere. The tests run them over Milvus Lite, and over a real Milvus.
"""

from __future__ import annotations

import importlib
import itertools
import json
import pkgutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol
from unittest.mock import ANY

import requests

__all__ = ["ANY", "Fact", "Json", "Subject", "differences", "subjects"]

Json = dict[str, Any]
LITE, MILVUS = "lite", "milvus"
_SOON = 20.0


class Client(Protocol):
    uri: str
    session: requests.Session


@dataclass(frozen=True)
class Fact:
    """A request, and what is answered.

    :param body: as JSON, or the bytes themselves.
    :param code: the code of the answer; None for an answer that is no JSON.
    :param data: its data, :data:`ANY` where that varies; objects in it may have further keys where ``whole`` is false.
    :param says: a part of its message.
    :param beside: further keys of the answer, beside code, data and message.
    :param eventually: whether it takes a moment until that is the answer.
    :param headers: None takes one away. Unless it is given, ``DB-Name`` is the database of the subject.
    :param over: what it is true over, where not over both: ``lite`` or ``milvus``.
    """

    path: str
    body: Any = field(default_factory=dict)
    code: int | None = 0
    data: Any = field(default_factory=lambda: ANY)
    says: str = ""
    status: int = 200
    whole: bool = True
    beside: Json = field(default_factory=dict)
    eventually: bool = False
    headers: dict[str, str | None] = field(default_factory=dict)
    method: str = "POST"
    over: str = ""

    def send(self, api: Client, database: str) -> requests.Response:
        content = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        headers = {"Content-Type": "application/json", "DB-Name": database, **self.headers}
        url = f"{api.uri}/v2/vectordb/{self.path}"
        return api.session.request(self.method, url, data=content, headers=headers, timeout=300, allow_redirects=False)

    def fault(self, response: requests.Response) -> str:
        """What is not as it is said here; empty when all is."""
        if response.status_code != self.status:
            return f"HTTP {response.status_code}: {response.text[:300]}"
        if self.code is None:
            return "" if self.says in response.text else response.text[:300]
        answer = response.json()
        right = (
            answer.get("code") == self.code
            and self.says in answer.get("message", "")
            and (self.data is ANY or _agrees(answer.get("data"), self.data, self.whole))
            and _agrees(answer, self.beside, whole=False)
        )
        return "" if right else json.dumps(answer)[:600]


def _agrees(found: Any, wanted: Any, whole: bool) -> bool:
    if isinstance(wanted, dict) and isinstance(found, dict):
        keys = wanted.keys() == found.keys() if whole else wanted.keys() <= found.keys()
        return keys and all(_agrees(found[key], value, whole) for key, value in wanted.items())
    if isinstance(wanted, list) and isinstance(found, list):
        return len(wanted) == len(found) and all(map(_agrees, found, wanted, itertools.repeat(whole)))
    # To Python true is 1.
    return bool(found == wanted) and (wanted is ANY or isinstance(found, bool) == isinstance(wanted, bool))


@dataclass(frozen=True)
class Subject:
    """What facts are about.

    :param name: of the module and the subject.
    :param facts: in order.
    """

    name: str
    facts: list[Fact]


def subjects() -> list[Subject]:
    """Return the facts of all modules."""
    found = []
    for module in sorted(one.name for one in pkgutil.iter_modules(__path__)):
        facts: dict[str, list[Fact]] = importlib.import_module(f"{__name__}.{module}").FACTS
        found += [Subject(f"{module}: {name}", list(rows)) for name, rows in facts.items()]
    return found


_numbers = itertools.count()


@contextmanager
def _database(api: Client) -> Iterator[str]:
    name = f"facts{next(_numbers)}"
    ok(api, "databases/create", dbName=name)
    yield name
    for alias in ok(api, "aliases/list", dbName=name):
        ok(api, "aliases/drop", dbName=name, aliasName=alias)
    for collection in ok(api, "collections/list", dbName=name):
        ok(api, "collections/release", dbName=name, collectionName=collection)
        ok(api, "collections/drop", dbName=name, collectionName=collection)
    ok(api, "databases/drop", dbName=name)


def ok(api: Client, path: str, **body: Any) -> Any:
    answer = api.session.post(f"{api.uri}/v2/vectordb/{path}", json=body, timeout=300).json()
    assert answer["code"] == 0, (path, body, answer)
    return answer["data"]


def differences(api: Client, subject: Subject, over: str) -> list[str]:
    """Return what a server answers otherwise than it is said.

    :param over: ``lite`` or ``milvus``: what is behind it.
    """
    found = []
    with _database(api) as database:
        for fact in subject.facts:
            if fact.over not in ("", over):
                continue
            until = time.monotonic() + (_SOON if fact.eventually else 0.0)
            while (fault := fact.fault(fact.send(api, database))) and time.monotonic() < until:
                time.sleep(0.05)
            if fault:
                shown = fact.body[:200] if isinstance(fact.body, bytes) else json.dumps(fact.body)[:300]
                wanted = f"{fact.status} {fact.code} {'' if fact.data is ANY else fact.data} {fact.says}"
                found.append(f"{fact.method} {fact.path} {shown!s} {fact.headers or ''}\n  {wanted}\n  {fault}")
    return found
