"""The hook's pages by key over a real Milvus: no row left out, however the rows came."""

from __future__ import annotations

import random

from airflow_vectordb.hooks.milvus import MilvusHook
from tests.support.engine_api import Api

SCHEMA = {
    "fields": [
        {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
        {"fieldName": "v", "dataType": "FloatVector", "elementTypeParams": {"dim": 4}},
    ]
}


def test_all_rows_of_sealed_and_growing_segments_come_once(api: Api, name: str, connection: None) -> None:
    keys = random.Random(7).sample(range(-100_000, 100_000), 6000)
    deleted = set(keys[::10])
    with MilvusHook() as hook:
        hook.create_collection(
            name, schema=SCHEMA, index_params={"fieldName": "v", "indexType": "FLAT", "metricType": "L2"}
        )
        for start in range(0, 6000, 2000):
            hook.insert(name, [{"id": key, "v": [key % 7, 1, 0, 0]} for key in keys[start : start + 2000]])
            if start < 4000:
                hook.flush(name)
        hook.upsert(name, [{"id": key, "v": [0, 1, 2, 3]} for key in keys[:500]])
        api.ok("entities/delete", collectionName=name, filter=f"id in {sorted(deleted)}")

        for size in (333, 5000):
            pages = hook.query_iterator(name, batch_size=size, output_fields=["id"], consistency_level="Strong")
            assert [row["id"] for page in pages for row in page] == sorted(set(keys) - deleted)
        pages = hook.query_iterator(name, "id > 0", batch_size=100, limit=250, consistency_level="Strong")
        assert [row["id"] for page in pages for row in page] == sorted(k for k in keys if k > 0 and k not in deleted)[
            :250
        ]
