"""Every call of ``airflow_vectordb.rest``, in an order in which each can work, and what a server makes of it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from airflow_vectordb import rest
from airflow_vectordb.rest import (
    aliases,
    collections,
    compactions,
    databases,
    entities,
    fields,
    functions,
    import_jobs,
    indexes,
    partitions,
    privilege_groups,
    quota_center,
    resource_groups,
    roles,
    segments,
    users,
)
from airflow_vectordb.rest.errors import MilvusError
from airflow_vectordb.rest.index.spec import IndexSpec

TABLE = Path(__file__).parents[2] / "docs" / "reference" / "paths.md"
_SCHEMA = {
    "fields": [
        {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
        {"fieldName": "v", "dataType": "FloatVector", "elementTypeParams": {"dim": 2}},
        {"fieldName": "t", "dataType": "VarChar", "elementTypeParams": {"max_length": 8}},
    ]
}
_ROW = {"id": 1, "v": [0.5, 1.0], "t": "x"}
_FUNCTION = {"name": "f", "type": "BM25", "inputFieldNames": ["t"], "outputFieldNames": ["s"], "params": {}}
_PASSWORD = "Secret-of-a-test-1"

#: With the name of a collection, and that of a database that the test has for itself.
CALLS: list[Callable[[str, str], Any]] = [
    lambda c, d: databases.create(d),
    lambda c, d: databases.list_(),
    lambda c, d: databases.alter_properties(d, {"database.max.collections": 9}),
    lambda c, d: databases.describe(d),
    lambda c, d: databases.drop_properties(d, ["database.max.collections"]),
    lambda c, d: databases.drop(d),
    lambda c, d: collections.create(c, schema=_SCHEMA),
    lambda c, d: collections.has(c),
    lambda c, d: collections.list_(),
    lambda c, d: collections.describe(c),
    lambda c, d: collections.rename(c, f"{c}_new"),
    lambda c, d: collections.drop(f"{c}_new"),
    lambda c, d: collections.create(c, schema=_SCHEMA),
    lambda c, d: collections.alter_properties(c, {"collection.ttl.seconds": 86400}),
    lambda c, d: collections.drop_properties(c, ["collection.ttl.seconds"]),
    lambda c, d: indexes.create(c, [IndexSpec("v", "v", "FLAT", "L2")]),
    lambda c, d: indexes.list_(c),
    lambda c, d: indexes.describe(c, "v"),
    lambda c, d: indexes.alter_properties(c, "v", {"mmap.enabled": True}),
    lambda c, d: indexes.drop_properties(c, "v", ["mmap.enabled"]),
    lambda c, d: fields.add(c, {"fieldName": "n", "dataType": "Int64", "nullable": True}),
    lambda c, d: fields.alter_properties(c, "t", {"max_length": 16}),
    lambda c, d: functions.add(c, _FUNCTION),
    lambda c, d: functions.alter(c, "f", _FUNCTION),
    lambda c, d: functions.drop(c, "f"),
    lambda c, d: partitions.create(c, "p"),
    lambda c, d: partitions.list_(c),
    lambda c, d: partitions.has(c, "p"),
    lambda c, d: entities.insert(c, [_ROW]),
    lambda c, d: entities.upsert(c, [_ROW]),
    lambda c, d: collections.flush(c),
    lambda c, d: collections.row_count(c),
    lambda c, d: partitions.row_count(c, "_default"),
    lambda c, d: partitions.load(c, ["p"]),
    lambda c, d: partitions.release(c, ["p"]),
    lambda c, d: partitions.drop(c, "p"),
    lambda c, d: collections.load(c),
    lambda c, d: collections.load_state(c),
    lambda c, d: collections.refresh_load(c),
    lambda c, d: entities.query(c, filter="id > 0"),
    lambda c, d: entities.get(c, [1]),
    lambda c, d: entities.count(c),
    lambda c, d: entities.search(c, [[0.5, 1.0]], anns_field="v", limit=1),
    lambda c, d: entities.hybrid_search(c, [{"data": [[0.5, 1.0]], "annsField": "v", "limit": 1}], limit=1),
    lambda c, d: entities.delete(c, "id in [1]"),
    lambda c, d: compactions.compact(c),
    lambda c, d: compactions.describe(1),
    lambda c, d: aliases.create(f"{c}_alias", c),
    lambda c, d: aliases.list_(c),
    lambda c, d: aliases.describe(f"{c}_alias"),
    lambda c, d: aliases.alter(f"{c}_alias", c),
    lambda c, d: aliases.drop(f"{c}_alias"),
    lambda c, d: import_jobs.create(c, [["nothing.json"]]),
    lambda c, d: import_jobs.list_(c),
    lambda c, d: collections.truncate(c),
    lambda c, d: collections.release(c),
    lambda c, d: indexes.drop(c, "v"),
    lambda c, d: collections.drop(c),
    lambda c, d: users.create("ada", _PASSWORD),
    lambda c, d: users.update_password("ada", _PASSWORD, f"{_PASSWORD}2"),
    lambda c, d: users.list_(),
    lambda c, d: roles.create("reader"),
    lambda c, d: roles.list_(),
    lambda c, d: roles.grant_privilege("reader", "Search", "Collection", "*"),
    lambda c, d: roles.describe("reader"),
    lambda c, d: roles.revoke_privilege("reader", "Search", "Collection", "*"),
    lambda c, d: roles.grant_privilege_v2("reader", "Search", "*"),
    lambda c, d: roles.revoke_privilege_v2("reader", "Search", "*"),
    lambda c, d: users.grant_role("ada", "reader"),
    lambda c, d: users.describe("ada"),
    lambda c, d: users.revoke_role("ada", "reader"),
    lambda c, d: users.drop("ada"),
    lambda c, d: roles.drop("reader"),
    lambda c, d: privilege_groups.create("readers"),
    lambda c, d: privilege_groups.add_privileges("readers", ["Search"]),
    lambda c, d: privilege_groups.list_(),
    lambda c, d: privilege_groups.remove_privileges("readers", ["Search"]),
    lambda c, d: privilege_groups.drop("readers"),
    lambda c, d: resource_groups.create("group"),
    lambda c, d: resource_groups.list_(),
    lambda c, d: resource_groups.describe("group"),
    lambda c, d: resource_groups.alter({"group": {"requests": {"node_num": 0}}}),
    lambda c, d: resource_groups.transfer_replica("group", "other", c, 1),
    lambda c, d: resource_groups.drop("group"),
    lambda c, d: segments.describe(1, [1]),
    lambda c, d: quota_center.describe(),
]


def functions_of_calls() -> dict[str, str]:
    """Return the path that each function of ``rest`` calls: ``{"collections.row_count": "collections/get_stats"}``."""
    found = {}
    for name in rest.__all__:
        module = getattr(rest, name)
        if not inspect.ismodule(module):
            continue
        for name_of_it, function in inspect.getmembers(module, inspect.isfunction):
            path = re.search(r'Call\(\s*"(\S+)"', inspect.getsource(function))
            if path and not name_of_it.startswith("_"):
                found[f"{name}.{name_of_it}"] = path[1]
    return found


def outcomes(client: rest.Client, collection: str, database: str) -> dict[str, str]:
    """Make all calls, and return for each path ``yes``, or ``no`` if the server refuses it."""
    found: dict[str, str] = {}
    calls = [make(collection, database) for make in CALLS]
    while calls:
        call = calls.pop(0)
        try:
            result = client.send(call, retries=2)
        except MilvusError:
            found.setdefault(call.path, "no")
        else:
            found[call.path] = "yes"
            if call.path == "jobs/import/create":
                calls[:0] = [import_jobs.describe(result), import_jobs.get_progress(result)]
    return found


def table() -> dict[str, tuple[str, ...]]:
    """Read the table of the docs: function -> path, and what it was run against."""
    lines = (line.strip("| ").split(" | ") for line in TABLE.read_text().splitlines() if line.startswith("| `"))
    return {cells[0].strip("` "): tuple(cell.strip("` ") for cell in cells[1:]) for cells in lines}
