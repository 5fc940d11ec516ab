"""Collections over Milvus Lite: made, described, loaded, flushed, dropped."""

from __future__ import annotations

import dataclasses

from airflow_vectordb.local.engine.lite.catalog import CollectionRecord
from airflow_vectordb.local.engine.lite.parts import DATABASES, Parts, check_name, pairs
from airflow_vectordb.local.engine.messages import milvus_pb2
from airflow_vectordb.local.engine.model import CollectionInfo, CollectionSpec, FieldSpec
from airflow_vectordb.local.engine.schema import schema_message
from airflow_vectordb.local.errors import ApiError, invalid, unexpected

__all__ = ["Collections", "check_field", "roomy"]

_ELEMENTS = frozenset({"Bool", "Int8", "Int16", "Int32", "Int64", "Float", "Double", "VarChar"})
_LARGEST = {f"Int{bits}": 2 ** (bits - 1) - 1 for bits in (8, 16, 32, 64)} | {"Float": 3.4028234663852886e38}
_TYPES = _ELEMENTS | {"Array", "JSON", "Geometry", "Timestamptz", "FloatVector", "SparseFloatVector"}


class Collections(Parts):
    """The collections of the data directory; what the engine forgets of them is in the catalog."""

    def list_collections(self, database: str) -> list[str]:
        return [record.name for record in self._catalog.collections(database)]

    def has_collection(self, database: str, name: str) -> bool:
        real = self._catalog.resolve(database, name)
        return any(record.name == real for record in self._catalog.collections(database))

    def create_collection(self, database: str, spec: CollectionSpec) -> None:
        check_name("collection", spec.name)
        spec = _check(spec)
        with self._locks.shared(DATABASES), self._locks.exclusive((database, spec.name)):
            self._catalog.database(database)
            if spec.name in self._catalog.aliases(database):
                raise ApiError(1601, f"collection name [{spec.name}] conflicts with an existing alias")
            for record in self._catalog.collections(database):
                if record.name == spec.name:
                    if record.spec == spec:
                        return
                    raise unexpected(f"create duplicate collection with different parameters, collection: {spec.name}")
            record = CollectionRecord(self._catalog.ids(1)[0], database, spec)
            self._catalog.put_collection(record)
            try:
                self._create(record)
                record.state = "ready"
                self._catalog.put_collection(record)
            except ApiError:
                # What there is of it would be in the way of the next one of this name.
                self._rpc.remove(database, spec.name)
                self._catalog.remove_collection(record)
                raise

    def _create(self, record: CollectionRecord) -> None:
        # Automatic ids are made here: the engine's begin again after some restarts, and then replace rows.
        schema = schema_message(roomy(record.spec), engine_makes_ids=False)
        request = milvus_pb2.CreateCollectionRequest(
            db_name=record.database,
            collection_name=record.name,
            schema=schema.SerializeToString(),
            properties=pairs(record.spec.properties),
        )
        self._rpc("CreateCollection", request, record.database)
        record.partitions = self._show_partitions(record)

    def collection_spec(self, database: str, name: str) -> CollectionSpec:
        return self._catalog.collection(database, name).spec

    def describe_collection(self, database: str, name: str) -> CollectionInfo:
        record = self._catalog.collection(database, name)
        state = "LoadStateLoaded" if record.loaded else "LoadStateNotLoad"
        aliases = self._catalog.aliases(database, record.name)
        return CollectionInfo(record.id, record.spec, aliases, state, list(record.partitions))

    def drop_collection(self, database: str, name: str) -> None:
        self._catalog.database(database)
        if name in self._catalog.aliases(database):
            raise unexpected(f"cannot drop the collection via alias = {name}")
        with self._locks.exclusive((database, name)):
            if not self.has_collection(database, name):
                return
            record = self._catalog.collection(database, name)
            aliases = self._catalog.aliases(database, record.name)
            if aliases:
                raise unexpected(f"unable to drop the collection [{name}] because it has associated aliases {aliases}")
            record.state = "dropping"
            self._catalog.put_collection(record)
            self._drop(record)

    def _drop(self, record: CollectionRecord) -> None:
        request = milvus_pb2.DropCollectionRequest(db_name=record.database, collection_name=record.name)
        self._rpc("DropCollection", request, record.database)
        self._catalog.remove_collection(record)
        self._unflushed.discard(record.id)

    def load_collection(self, database: str, name: str) -> None:
        with self._writing(database, name) as record:
            self._check_loadable(record)
            self._load(record)
            record.loaded, record.loaded_partitions = True, []
            self._catalog.put_collection(record)

    def release_collection(self, database: str, name: str) -> None:
        with self._writing(database, name) as record:
            record.loaded, record.loaded_partitions = False, []
            self._catalog.put_collection(record)
            self._release(record)

    def row_count(self, database: str, name: str) -> int:
        return self._catalog.collection(database, name).flushed

    def flush(self, database: str, name: str) -> None:
        with self._writing(database, name) as record:
            if record.id in self._unflushed:
                self._flush(record)

    def _flush(self, record: CollectionRecord) -> None:
        """Seal the rows in memory, and count them."""
        # Released, the engine leaves the new segments alone, and loading then builds their indexes here and now;
        # loaded, it would build them some time later and say all the while that they are finished.
        self._release(record)
        request = milvus_pb2.FlushRequest(db_name=record.database, collection_names=[record.name])
        self._rpc("Flush", request, record.database)
        self._build(record)
        record.flushed_by_partition = self._partition_rows(record)
        record.flushed = sum(record.flushed_by_partition.values())
        self._catalog.put_collection(record)
        self._unflushed.discard(record.id)


def roomy(spec: CollectionSpec) -> CollectionSpec:
    """With the largest limits there are: they are checked here, and can be altered, which the engine's cannot."""
    most = {"max_length": "65535", "max_capacity": "4096"}
    fields = [
        dataclasses.replace(entry, params={key: most.get(key, value) for key, value in entry.params.items()})
        for entry in spec.fields
    ]
    return dataclasses.replace(spec, fields=fields)


def _check(spec: CollectionSpec) -> CollectionSpec:
    """Refuse what Milvus refuses in a schema and what this server cannot; number the fields."""
    names = [entry.name for entry in spec.fields]
    for name in names:
        check_name("field", name, code=1701)
        if names.count(name) > 1:
            raise invalid(f"duplicated field name {name}")
    primaries = [entry for entry in spec.fields if entry.is_primary]
    if len(primaries) != 1:
        raise invalid("primary key is not specified" if not primaries else "there are more than one primary key")
    if primaries[0].type not in ("Int64", "VarChar"):
        raise invalid("the data type of primary key should be Int64 or VarChar")
    if primaries[0].nullable or primaries[0].default is not None:
        raise invalid("primary field not support null or default_value")
    if not spec.vectors:
        raise invalid("schema does not contain vector field")
    if sum(entry.is_partition_key for entry in spec.fields) > 1:
        raise invalid("there are more than one partition key")
    for entry in spec.fields:
        check_field(entry)
    for function in spec.functions:
        if function.type != "BM25":
            raise invalid(f"this local server has no {function.type} function; it has BM25")
    outputs = {name for function in spec.functions for name in function.outputs}
    fields = [
        dataclasses.replace(entry, id=100 + i, is_function_output=entry.name in outputs)
        for i, entry in enumerate(spec.fields)
    ]
    functions = [dataclasses.replace(function, id=100 + i) for i, function in enumerate(spec.functions)]
    return dataclasses.replace(spec, fields=fields, functions=functions)


def check_field(entry: FieldSpec) -> None:
    """Refuse a field that Milvus or this server cannot have.

    :raises ApiError: 1100.
    """
    if entry.type not in _TYPES:
        raise invalid(f"this local server's engine, Milvus Lite, has no fields of type {entry.type} ({entry.name})")
    if entry.auto_id and not entry.is_primary:
        raise invalid(f"only primary field can speficy AutoID with true, field name = {entry.name}")
    if entry.is_vector and entry.nullable:
        # It takes them, and gives zeros back.
        raise invalid(f"this local server's engine, Milvus Lite, has no nullable vectors ({entry.name})")
    if entry.is_clustering_key:
        raise invalid(f"this local server has no clustering keys ({entry.name})")
    if entry.type == "FloatVector" and not 2 <= _number(entry, "dim") <= 32768:
        raise invalid(f"invalid dimension: {entry.dim} of field {entry.name}. it should be in range 2 to 32768")
    if entry.type == "SparseFloatVector" and "dim" in entry.params:
        raise invalid(f"dim should not be specified for sparse vector field {entry.name}")
    if "VarChar" in (entry.type, entry.element_type) and not 1 <= _number(entry, "max_length") <= 65535:
        raise invalid(
            f"the maximum length specified for the field({entry.name}) should be in (0, 65535], "
            f"but got {entry.params['max_length']} instead"
        )
    if entry.type == "Array":
        if entry.element_type not in _ELEMENTS:
            raise invalid(f"element data type {entry.element_type or 'None'} is not supported, field {entry.name}")
        if not 1 <= _number(entry, "max_capacity") <= 4096:
            raise invalid(f"the maximum capacity specified for a Array shoule be in (0, 4096], field {entry.name}")
    _check_default(entry)


def _check_default(entry: FieldSpec) -> None:
    value = entry.default
    if entry.type in _LARGEST and value is not None and not -_LARGEST[entry.type] - 1 <= value <= _LARGEST[entry.type]:
        raise invalid(f"the default value of field {entry.name} is out of the range of {entry.type}")
    if entry.type == "VarChar" and value is not None and len(value.encode()) > _number(entry, "max_length"):
        raise invalid(
            f"the length ({len(value.encode())}) of the default value of field {entry.name} "
            f"exceeds max length ({entry.params['max_length']})"
        )


def _number(entry: FieldSpec, key: str) -> int:
    if key not in entry.params:
        raise invalid(f"type param({key}) should be specified for the field({entry.name}) of type {entry.type}")
    try:
        return int(entry.params[key])
    except ValueError:
        raise invalid(f"invalid {key} of field {entry.name}: {entry.params[key]}") from None
