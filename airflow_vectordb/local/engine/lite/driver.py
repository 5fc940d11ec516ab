"""What the parts of the engine ask of Milvus Lite, with its oddities worked around."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from airflow_vectordb.local.engine.calls import QueryCall, SearchCall
from airflow_vectordb.local.engine.index_rules import engine_params
from airflow_vectordb.local.engine.lite.catalog import CollectionRecord, IndexRecord
from airflow_vectordb.local.engine.lite.filters import unchain
from airflow_vectordb.local.engine.lite.milvus_lite_internals import MilvusLiteInternals
from airflow_vectordb.local.engine.lite.rpc import LiteRpc
from airflow_vectordb.local.engine.model import CollectionSpec
from airflow_vectordb.local.engine.requests import pairs, query_request, row_count, search_request
from airflow_vectordb.local.engine.schema import schema_message
from airflow_vectordb.local.errors import ApiError, invalid

# What the engine says to those parts of the filter language that it has not.
_LACKING = re.compile(
    r"unexpected (?:character '%'|token '(?:\*|x[0-9a-f]+)')|unknown function '(?:random_sample|phrase_match)'", re.I
)


class Driver:
    """Milvus Lite, for collections given as records of the catalog. It changes no record."""

    def __init__(self, rpc: LiteRpc, internals: MilvusLiteInternals) -> None:
        self._rpc = rpc
        self._internals = internals

    def _call(self, method: str, record: CollectionRecord, **fields: Any) -> Any:
        return self._rpc(method, record.database, collection_name=record.name, **fields)

    # --- collections ---

    def collections(self, database: str) -> set[str]:
        return set(self._rpc("ShowCollections", database).collection_names)

    def exists(self, database: str, name: str) -> bool:
        return bool(self._rpc("HasCollection", database, collection_name=name).value)

    def create(self, record: CollectionRecord) -> None:
        schema = _schema(record.spec).SerializeToString()
        self._call("CreateCollection", record, schema=schema, properties=pairs(record.spec.properties))

    def alter(self, record: CollectionRecord, properties: dict[str, str], drop: list[str]) -> None:
        self._call("AlterCollection", record, properties=pairs(properties), delete_keys=drop)

    def rename(self, database: str, name: str, new_name: str) -> None:
        """Rename a collection. The engine closes it, and opens an indexed one as released."""
        self._rpc("RenameCollection", database, oldName=name, newName=new_name)

    def drop(self, record: CollectionRecord) -> None:
        try:
            self._call("DropCollection", record)
        except ApiError as error:
            if error.code != 100:
                raise

    def remove(self, record: CollectionRecord) -> None:
        """Remove what exists of a collection; it may be unfinished."""
        self._internals.remove(record.database, record.name)

    def let_go(self, record: CollectionRecord) -> None:
        """Have a collection opened again when it is next used, as after a crash."""
        self._internals.let_go(record.database, record.name)

    def write_copy(self, record: CollectionRecord, copy: str, wider: CollectionSpec) -> None:
        """Copy a collection under another name, with the last field of ``wider`` more."""
        self._internals.write_copy(record.database, record.name, copy, _schema(wider))

    def forget_copy(self, record: CollectionRecord, copy: str) -> None:
        self._internals.forget_copy(record.database, record.name, copy)

    # --- loading ---

    def load(self, record: CollectionRecord) -> None:
        """Load, which builds what is not built yet."""
        try:
            self._call("LoadCollection", record)
        except ApiError:
            # The engine trusts the files of indexes that exist, and a crash may have cut one short.
            if not self._internals.forget_index_files(record.database, record.name):
                raise
            try:
                self._call("LoadCollection", record)
            except ApiError:
                # They take up the disk that they did not fit on.
                self._internals.forget_index_files(record.database, record.name)
                raise

    def release(self, record: CollectionRecord) -> None:
        self._call("ReleaseCollection", record)

    def build(self, record: CollectionRecord) -> None:
        """Build every index now, whether the collection is loaded or not."""
        self.load(record)
        if not record.loaded:
            self.release(record)

    def flush(self, record: CollectionRecord) -> None:
        # Released, the engine leaves the new segments alone, and loading then builds their indexes here and now;
        # loaded, it would build them some time later and say all the while that they are finished.
        self.release(record)
        self._rpc("Flush", record.database, collection_names=[record.name])
        self.build(record)

    def live_rows(self, record: CollectionRecord) -> int:
        return row_count(self._call("GetCollectionStatistics", record))

    # --- partitions ---

    def partitions(self, record: CollectionRecord) -> list[str]:
        """Return the partitions that the engine has; the catalog knows them too, and answers for it."""
        return list(self._call("ShowPartitions", record).partition_names)

    def create_partition(self, record: CollectionRecord, name: str) -> None:
        self._call("CreatePartition", record, partition_name=name)

    def drop_partition(self, record: CollectionRecord, name: str) -> None:
        self._call("DropPartition", record, partition_name=name)

    def rows_by_partition(self, record: CollectionRecord) -> dict[str, int]:
        """Return the rows of each partition that has any."""
        counts = {
            name: row_count(self._call("GetPartitionStatistics", record, partition_name=name))
            for name in record.partitions
        }
        return {name: count for name, count in counts.items() if count}

    # --- indexes ---

    def indexed_fields(self, record: CollectionRecord) -> set[str]:
        try:
            return {index.field_name for index in self._call("DescribeIndex", record).index_descriptions}
        except ApiError as error:
            if error.code != 700:
                raise
            return set()

    def create_index(self, record: CollectionRecord, index: IndexRecord) -> None:
        entry = record.spec.field_named(index.field)
        assert entry is not None
        index_type, metric, build = engine_params(entry, index.params)
        params = {"index_type": index_type, "params": json.dumps(build)}
        if metric:
            params["metric_type"] = metric
        try:
            self._call("CreateIndex", record, field_name=index.field, index_name=index.name, extra_params=pairs(params))
            self.build(record)
        except ApiError:
            # The engine keeps an index that it could not build, and would fail on it at each load.
            self.drop_index(record, index.field)
            raise

    def drop_index(self, record: CollectionRecord, field: str) -> None:
        """Drop the index of a field, and nothing else, whatever the load state."""
        self.release(record)
        try:
            # Without the field, or with a name that it does not know, the engine drops every index.
            self._call("DropIndex", record, field_name=field, index_name=field)
        except ApiError as error:
            if error.code != 700:
                raise
        if record.loaded:
            self.load(record)

    # --- rows ---

    def write(self, record: CollectionRecord, method: str, request: Any) -> Any:
        """Send rows.

        :param method: ``Insert`` or ``Upsert``.
        :return: their keys, an ``IDs`` message.
        """
        return self._rpc.send(method, request, record.database).IDs

    def delete(self, record: CollectionRecord, filter: str, expression: str, partition: str) -> int:
        """Delete rows.

        :param filter: what the caller asked for, for messages.
        :param expression: what the engine is sent for it.
        """
        with _filtered(filter):
            return int(self._call("Delete", record, partition_name=partition, expr=expression).delete_cnt)

    def query(self, record: CollectionRecord, call: QueryCall, **params: str) -> list[Any]:
        """Return the columns of the rows that a filter matches."""
        plain = dataclasses.replace(call, filter=unchain(call.filter))
        request = query_request(record.database, record.name, plain, **params)
        with _filtered(call.filter):
            return list(self._rpc.send("Query", request, record.database).fields_data)

    def search(self, record: CollectionRecord, call: SearchCall) -> Any:
        """Return the ``SearchResultData`` message of a search that names its metric."""
        plain = dataclasses.replace(
            call,
            filter=unchain(call.filter),
            # The engine has no approximate sparse search, and refuses the parameter that would allow one.
            params={key: value for key, value in call.params.items() if not key.startswith("drop_ratio")},
            # Without any the engine gives all fields; the key is part of every answer anyway.
            output_fields=call.output_fields or [record.spec.primary.name],
        )
        with _filtered(call.filter):
            return self._rpc.send(
                "Search", search_request(record.database, record.name, plain), record.database
            ).results


def _schema(spec: CollectionSpec) -> Any:
    """Return the schema with the largest limits: they are checked here, and the engine cannot alter its own.

    And without clustering keys, which the engine refuses: they say how a cluster may sort its files, and no more.
    """
    most = {"max_length": "65535", "max_capacity": "4096"}
    fields = [
        dataclasses.replace(
            entry, params={key: most.get(key, value) for key, value in entry.params.items()}, is_clustering_key=False
        )
        for entry in spec.fields
    ]
    # Automatic ids are made here: the engine's begin again after some restarts, and then replace rows.
    return schema_message(dataclasses.replace(spec, fields=fields), engine_makes_ids=False)


@contextmanager
def _filtered(filter: str) -> Iterator[None]:
    """Refuse a filter that the engine does not understand as Milvus would."""
    try:
        yield
    except ApiError as error:
        if not filter or (error.code != 1100 and "int too large" not in error.message):
            raise
        lacking = "this local server's engine, Milvus Lite, has not all of Milvus's language: "
        whose = lacking if _LACKING.search(error.message) else ""
        raise invalid(
            f"failed to create query plan: cannot parse expression: {filter}, error: {whose}{error.message}"
        ) from error
