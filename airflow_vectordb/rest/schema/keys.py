"""The keys of a schema, however they are spelt."""

from __future__ import annotations

from airflow_vectordb.rest.spelling import normalize_key

# Keys, normalized -> as the API spells them: those of the API, of pymilvus, and of the server's descriptions. The
# server ignores keys that it does not know, so a misspelt one must not get there.
SCHEMA_KEYS = {"autoid": "autoID", "enabledynamicfield": "enableDynamicField", "fields": "fields"}
SCHEMA_KEYS |= {"functions": "functions", "description": "description", "name": "name"}
FIELD_KEYS = {
    **dict.fromkeys(("fieldname", "name"), "fieldName"),
    **dict.fromkeys(("datatype", "type", "dtype"), "dataType"),
    **dict.fromkeys(("elementdatatype", "elementtype"), "elementDataType"),
    **dict.fromkeys(("elementtypeparams", "params", "typeparams"), "elementTypeParams"),
    "isprimary": "isPrimary",
    "autoid": "autoID",
    "ispartitionkey": "isPartitionKey",
    "isclusteringkey": "isClusteringKey",
    "nullable": "nullable",
    "defaultvalue": "defaultValue",
    "description": "description",
}
FUNCTION_KEYS = {
    "name": "name",
    **dict.fromkeys(("type", "functiontype"), "type"),
    **dict.fromkeys(("inputfieldnames", "inputfields"), "inputFieldNames"),
    **dict.fromkeys(("outputfieldnames", "outputfields"), "outputFieldNames"),
    "params": "params",
    "description": "description",
}
#: What a description by the server has beside them. The keys of a field are spelt otherwise there.
DESCRIPTION_KEYS = frozenset(
    normalize_key(name)
    for name in (
        *("aliases", "collection_id", "collection_name", "consistency_level", "id", "indexes", "is_function_output"),
        *("load", "partitions_num", "properties", "shards_num"),
    )
)
DESCRIBED_FIELD_KEYS = {
    **FIELD_KEYS,
    "primarykey": "isPrimary",
    "partitionkey": "isPartitionKey",
    "clusteringkey": "isClusteringKey",
}
