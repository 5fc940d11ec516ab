"""The keys of a schema, however they are spelt."""

from __future__ import annotations

from airflow_vectordb.rest.schema.spec import FLAGS
from airflow_vectordb.rest.spelling import normalize_key


def _keys(*names: str, **others: str) -> dict[str, str]:
    """Return names of the API by normalized keys, ``others`` being those of pymilvus and of descriptions."""
    return {**{normalize_key(name): name for name in names}, **others}


# The server ignores keys that it does not know, so a misspelt one must not get there.
#: Fields of arrays of structs: sent as they are.
PASSED_ON = ("structFields", "structArrayFields")
SCHEMA_KEYS = _keys("autoID", "enableDynamicField", "fields", "functions", "description", "name", *PASSED_ON)
FIELD_KEYS = _keys(
    *("fieldName", "dataType", "elementDataType", "elementTypeParams", "defaultValue", "description", "autoID"),
    *FLAGS.values(),
    name="fieldName",
    type="dataType",
    dtype="dataType",
    elementtype="elementDataType",
    params="elementTypeParams",
    typeparams="elementTypeParams",
    primarykey="isPrimary",
    partitionkey="isPartitionKey",
    clusteringkey="isClusteringKey",
)
FUNCTION_KEYS = _keys(
    *("name", "type", "inputFieldNames", "outputFieldNames", "params", "description"),
    functiontype="type",
    inputfields="inputFieldNames",
    outputfields="outputFieldNames",
)
#: What a description by the server has beside them.
DESCRIPTION_KEYS = _keys(
    *("aliases", "collectionID", "collectionName", "consistencyLevel", "indexes", "load"),
    *("partitionsNum", "properties", "shardsNum"),
)
