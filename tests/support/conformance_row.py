"""What a row of the table of conformance says of an endpoint."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

COLLECTION = "c"
"""The collection that the bodies name: loaded, of :data:`SCHEMA`, with rows, a partition ``p`` and an alias ``al``."""

SCHEMA: Json = {
    "fields": [
        {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
        {"fieldName": "v", "dataType": "FloatVector", "elementTypeParams": {"dim": 2}},
        {"fieldName": "t", "dataType": "VarChar", "elementTypeParams": {"max_length": 8}},
    ]
}


@dataclass(frozen=True)
class Row:
    """An endpoint.

    :param body: a valid body.
    :param required: what it must have; a path with dots leads into objects and lists.
    :param types: the JSON type of each of its fields, ``any`` where all are taken.
    :param missing: the code for a collection that is not there; None where no collection is looked for.
    :param nowhere: the code for a database that is not there; None where none is looked for.
    :param code: what a valid body gives.
    :param why: why that is not 0.
    :param before: calls that must come first, in the database of the test.
    """

    path: str
    body: Json
    required: tuple[str, ...]
    types: dict[str, str]
    missing: int | None = 100
    nowhere: int | None = 800
    code: int = 0
    why: str = ""
    before: tuple[tuple[str, Json], ...] = field(default=())
