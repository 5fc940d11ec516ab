"""Fields and functions of collections that exist, over Milvus Lite, which cannot add a field."""

from __future__ import annotations

import dataclasses

from airflow_vectordb.local.engine.lite.catalog import CollectionRecord
from airflow_vectordb.local.engine.lite.schema_rules import MMAP, check_added, check_field, check_params
from airflow_vectordb.local.engine.lite.store import DATABASES, Part, check_alteration
from airflow_vectordb.local.engine.model import FieldSpec, FunctionSpec
from airflow_vectordb.local.errors import ApiError, already_loaded, invalid, not_here


class Schemas(Part):
    """A field is added by writing a copy of the collection that has it, and putting that in its place.

    What the catalog says counts: until it says that the copy takes the place, a crash leaves the collection as it was;
    from then on the next start completes it.
    """

    def add_field(self, database: str, collection: str, field: FieldSpec) -> None:
        # Databases stay while the copy is on its way from one name to the other.
        with self._store.locks.shared(DATABASES), self._store.writing(database, collection) as record:
            check_added(record.spec, field)
            number = 1 + max(entry.id for entry in record.spec.fields)
            fields = [*record.spec.fields, dataclasses.replace(field, id=number)]
            wider = dataclasses.replace(record.spec, fields=fields)
            record.copying = "writing"
            self._catalog.put_collection(record)
            try:
                self._driver.write_copy(record, _copy_of(record), wider)
            except BaseException:
                self.finish_copy(record)
                raise
            # From here on it is done.
            record.spec, record.copying = wider, "swapping"
            self._catalog.put_collection(record)
            self.finish_copy(record)
            if record.loaded:
                self._driver.load(record)

    def finish_copy(self, record: CollectionRecord) -> None:
        """Complete or undo the adding of a field, however far it is."""
        copy = _copy_of(record)
        if record.copying == "writing":
            self._driver.forget_copy(record, copy)
        elif self._driver.exists(record.database, copy):
            # The copy exists until it has the name; so the other one is what was before, or the remains of it.
            self._driver.drop(record)
            self._driver.rename(record.database, copy, record.name)
        record.copying = ""
        self._catalog.put_collection(record)

    def alter_field(self, database: str, collection: str, field: str, params: dict[str, str]) -> None:
        params = {MMAP if key == "mmap_enabled" else key: value for key, value in params.items()}
        check_alteration(params)
        with self._store.writing(database, collection) as record:
            entry = record.spec.field_named(field)
            if entry is None:
                raise ApiError(1700, f"field not found[field={field}]")
            check_params(entry, params)
            if record.loaded and MMAP in params:
                raise already_loaded(record.name, "can not alter collection field properties if collection loaded")
            changed = dataclasses.replace(entry, params={**entry.params, **params})
            check_field(changed, record.name)
            fields = [changed if one is entry else one for one in record.spec.fields]
            record.spec = dataclasses.replace(record.spec, fields=fields)
            self._catalog.put_collection(record)

    def add_function(self, database: str, collection: str, function: FunctionSpec) -> None:
        self._catalog.collection(database, collection)
        _refuse_function(function.type, "adding")

    def alter_function(self, database: str, collection: str, name: str, function: FunctionSpec) -> None:
        self._check_function(database, collection, name)
        _refuse_function(function.type, "alter")

    def drop_function(self, database: str, collection: str, name: str) -> None:
        self._check_function(database, collection, name)
        # A collection has no other functions.
        _refuse_function("BM25", "droping")

    def _check_function(self, database: str, collection: str, name: str) -> None:
        record = self._catalog.collection(database, collection)
        if all(function.name != name for function in record.spec.functions):
            raise invalid(f"function {name} not exists")


def _copy_of(record: CollectionRecord) -> str:
    """Return the name of the copy, which no collection of a caller can have."""
    return f"copy-{record.id}"


def _refuse_function(kind: str, action: str) -> None:
    if kind == "BM25":
        raise invalid(f"Currently does not support {action} BM25 function")
    raise not_here(f"a {kind} function")
