"""Collections, fields, functions, indexes and so on in Milvus's terms: plain data that every layer uses."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

# Milvus's names and numbers (schema.proto); the names are case-sensitive on the wire.
TYPE_NUMBERS = {
    "Bool": 1,
    "Int8": 2,
    "Int16": 3,
    "Int32": 4,
    "Int64": 5,
    "Float": 10,
    "Double": 11,
    "VarChar": 21,
    "Array": 22,
    "JSON": 23,
    "Geometry": 24,
    "Text": 25,
    "Timestamptz": 26,
    "BinaryVector": 100,
    "FloatVector": 101,
    "Float16Vector": 102,
    "BFloat16Vector": 103,
    "SparseFloatVector": 104,
    "Int8Vector": 105,
}
_VECTOR_TYPES = frozenset(name for name, number in TYPE_NUMBERS.items() if number >= 100)

SCALAR_SLOTS = {
    "Bool": "bool_data",
    "Int8": "int_data",
    "Int16": "int_data",
    "Int32": "int_data",
    "Int64": "long_data",
    "Float": "float_data",
    "Double": "double_data",
    "VarChar": "string_data",
}
"""Where in Milvus's messages a scalar of a type is."""

CONSISTENCY_LEVELS = ("Strong", "Session", "Bounded", "Eventually", "Customized")
DEFAULT_PARTITION = "_default"


@dataclass(frozen=True)
class FieldSpec:
    """One field of a collection.

    :param params: the type parameters as Milvus keeps them, all values strings (``{"dim": "64"}``).
    :param default: the default value, None for none.
    """

    name: str
    type: str
    id: int = 0
    is_primary: bool = False
    auto_id: bool = False
    is_partition_key: bool = False
    is_clustering_key: bool = False
    is_function_output: bool = False
    nullable: bool = False
    element_type: str = ""
    description: str = ""
    default: Any = None
    params: dict[str, str] = field(default_factory=dict)

    @property
    def is_vector(self) -> bool:
        return self.type in _VECTOR_TYPES

    @property
    def dim(self) -> int:
        """The number of values of a dense vector; 0 where there is none."""
        return int(self.params.get("dim", 0))


@dataclass(frozen=True)
class FunctionSpec:
    """A function of a collection, BM25 for instance."""

    name: str
    type: str
    inputs: list[str]
    outputs: list[str]
    id: int = 0
    description: str = ""
    params: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class CollectionSpec:
    """What a collection is made of, apart from its rows and indexes."""

    name: str
    fields: list[FieldSpec]
    functions: list[FunctionSpec] = field(default_factory=list)
    dynamic: bool = False
    description: str = ""
    shards: int = 1
    consistency: str = "Bounded"
    partitions: int = 1
    properties: dict[str, str] = field(default_factory=dict)

    @property
    def primary(self) -> FieldSpec:
        return next(entry for entry in self.fields if entry.is_primary)

    @property
    def vectors(self) -> list[FieldSpec]:
        return [entry for entry in self.fields if entry.is_vector]

    @property
    def has_partition_key(self) -> bool:
        return any(entry.is_partition_key for entry in self.fields)

    @property
    def has_clustering_key(self) -> bool:
        return any(entry.is_clustering_key for entry in self.fields)

    def field_named(self, name: str) -> FieldSpec | None:
        return next((entry for entry in self.fields if entry.name == name), None)

    def is_bm25_output(self, name: str) -> bool:
        return any(function.type == "BM25" and name in function.outputs for function in self.functions)

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> CollectionSpec:
        fields = [FieldSpec(**entry) for entry in document["fields"]]
        functions = [FunctionSpec(**entry) for entry in document["functions"]]
        return cls(**{**document, "fields": fields, "functions": functions})


@dataclass(frozen=True)
class CollectionInfo:
    """A collection as a server describes it."""

    id: int
    spec: CollectionSpec
    aliases: list[str]
    load_state: str
    partitions: list[str]


@dataclass(frozen=True)
class LoadInfo:
    """How far a collection, or some of its partitions, are loaded.

    :param state: ``LoadStateNotLoad``, ``LoadStateLoading`` or ``LoadStateLoaded``.
    :param progress: in percent; -1 where it is not known.
    :param message: why it is not known.
    """

    state: str
    progress: int = 0
    message: str = ""


@dataclass(frozen=True)
class CompactionInfo:
    """How far a compaction is: its state, and how many of its parts are running, timed out and done."""

    state: str = "Completed"
    executing: int = 0
    timed_out: int = 0
    completed: int = 0


@dataclass(frozen=True)
class DatabaseInfo:
    """A database as a server describes it."""

    id: int
    name: str
    properties: dict[str, str]


@dataclass(frozen=True)
class IndexInfo:
    """An index as a server describes it.

    :param params: what it was built with, ``index_type`` and ``metric_type`` included, all values strings.
    :param total: rows in sealed segments; rows that were not flushed are in no index yet.
    """

    name: str
    field: str
    params: dict[str, str]
    state: str = "Finished"
    total: int = 0
    indexed: int = 0
    pending: int = 0
    fail_reason: str = ""


@dataclass(frozen=True)
class ImportFile:
    """How far the import of one file is; times as ISO 8601, empty before the end."""

    name: str
    size: int = 0
    state: str = "Pending"
    progress: int = 0
    imported: int = 0
    total: int = 0
    completed: str = ""
    reason: str = ""


@dataclass(frozen=True)
class ImportInfo:
    """An import job: ``Pending``, ``Importing``, ``Completed`` or ``Failed``."""

    id: str
    collection: str
    state: str
    progress: int = 0
    imported: int = 0
    total: int = 0
    size: int = 0
    completed: str = ""
    reason: str = ""
    files: list[ImportFile] = field(default_factory=list)
