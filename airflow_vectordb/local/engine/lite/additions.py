"""Fields that are added to a collection that is there, over Milvus Lite, which has no such call."""

from __future__ import annotations

import dataclasses

from airflow_vectordb.local.engine.lite.catalog import CollectionRecord
from airflow_vectordb.local.engine.lite.collections import Collections, check_field, roomy
from airflow_vectordb.local.engine.lite.indexes import Indexes
from airflow_vectordb.local.engine.lite.parts import DATABASES, check_name
from airflow_vectordb.local.engine.messages import milvus_pb2
from airflow_vectordb.local.engine.model import FieldSpec
from airflow_vectordb.local.engine.schema import schema_message
from airflow_vectordb.local.errors import ApiError, invalid

__all__ = ["Additions"]

_MOST = 64


class Additions(Collections, Indexes):
    """A field is added by writing a copy of the collection that has it, and putting that in its place.

    What the catalog says is done: until it says that the copy takes the place, a crash leaves the collection as it was;
    from then on the next start goes on with it.
    """

    def add_field(self, database: str, collection: str, field: FieldSpec) -> None:
        # Databases stay while the copy is on its way from one name to the other.
        with self._locks.shared(DATABASES), self._writing(database, collection) as record:
            _check(record, field)
            number = 1 + max(entry.id for entry in record.spec.fields)
            fields = [*record.spec.fields, dataclasses.replace(field, id=number)]
            wider = dataclasses.replace(record.spec, fields=fields)
            record.copying = "writing"
            self._catalog.put_collection(record)
            try:
                schema = schema_message(roomy(wider), engine_makes_ids=False)
                self._rpc.write_copy(record.database, record.name, _copy_of(record), schema)
            except BaseException:
                self._end_copying(record)
                raise
            # This is the moment that it is done.
            record.spec, record.copying = wider, "swapping"
            self._catalog.put_collection(record)
            self._end_copying(record)
            # The engine has closed it meanwhile, and opens what is indexed as released.
            if record.loaded:
                self._load(record)

    def _end_copying(self, record: CollectionRecord) -> None:
        """Go on from where the adding of a field is, to one of the two states that there are for callers."""
        copy = _copy_of(record)
        if record.copying == "writing":
            self._rpc.forget_copy(record.database, record.name, copy)
        elif self._rpc(
            "HasCollection",
            milvus_pb2.HasCollectionRequest(db_name=record.database, collection_name=copy),
            record.database,
        ).value:
            # The copy is there until it has the name; so the other one is what was before, or a rest of it.
            drop = milvus_pb2.DropCollectionRequest(db_name=record.database, collection_name=record.name)
            try:
                self._rpc("DropCollection", drop, record.database)
            except ApiError as error:
                if error.code != 100:
                    raise
            rename = milvus_pb2.RenameCollectionRequest(db_name=record.database, oldName=copy, newName=record.name)
            self._rpc("RenameCollection", rename, record.database)
        record.copying = ""
        self._catalog.put_collection(record)


def _copy_of(record: CollectionRecord) -> str:
    """The name of the copy, which no collection of a caller can have."""
    return f"copy-{record.id}"


def _check(record: CollectionRecord, field: FieldSpec) -> None:
    """Milvus's rules for a field that is added, and this server's."""
    check_name("field", field.name, code=1701)
    if record.spec.field_named(field.name) is not None:
        raise invalid(f"duplicate field name: {field.name}")
    if len(record.spec.fields) >= _MOST:
        raise invalid(f"The number of fields has reached the maximum value {_MOST}")
    for refused, what in (
        (field.is_primary, "pk field"),
        (field.is_vector, "vector field"),
        (field.is_partition_key, "partition key field"),
    ):
        if refused:
            raise invalid(f"not support to add {what}, field name = {field.name}")
    if not field.nullable:
        raise invalid(f"added field must be nullable, please check it, field name = {field.name}")
    check_field(field)
