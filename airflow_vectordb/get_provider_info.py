"""Metadata of this provider for Airflow (entry point ``apache_airflow_provider``)."""

from __future__ import annotations

from typing import Any

from airflow_vectordb.hooks import connection_fields as fields

INTEGRATION = "Milvus"


def get_provider_info() -> dict[str, Any]:
    """
    Describe the provider: connection type and form, hook, operators, sensors, trigger, extra link, assets.

    :return: a mapping that satisfies Airflow's ``provider_info.schema.json``
    """
    return {
        "package-name": "airflow-vectordb",
        "name": fields.HOOK_NAME,
        "description": "Create vector indexes in Milvus and Zilliz Cloud, and wait until they are built.",
        "integrations": [
            {
                "integration-name": INTEGRATION,
                "external-doc-url": "https://milvus.io/docs",
                "tags": ["service"],
            }
        ],
        "hooks": [{"integration-name": INTEGRATION, "python-modules": ["airflow_vectordb.hooks.milvus"]}],
        "operators": [
            {
                "integration-name": INTEGRATION,
                "python-modules": [
                    "airflow_vectordb.operators.alias",
                    "airflow_vectordb.operators.collection",
                    "airflow_vectordb.operators.import_job",
                    "airflow_vectordb.operators.index",
                    "airflow_vectordb.operators.ingest",
                ],
            }
        ],
        "sensors": [{"integration-name": INTEGRATION, "python-modules": ["airflow_vectordb.sensors.milvus"]}],
        "triggers": [{"integration-name": INTEGRATION, "python-modules": ["airflow_vectordb.triggers.milvus"]}],
        "extra-links": ["airflow_vectordb.links.MilvusConsoleLink"],
        "asset-uris": [
            {
                "schemes": ["milvus"],
                "handler": "airflow_vectordb.assets.sanitize_uri",
                "factory": "airflow_vectordb.assets.milvus_asset",
                "to_openlineage_converter": "airflow_vectordb.assets.convert_asset_to_openlineage",
            }
        ],
        "connection-types": [
            {
                "connection-type": fields.CONNECTION_TYPE,
                "hook-class-name": "airflow_vectordb.hooks.milvus.MilvusHook",
                "hook-name": fields.HOOK_NAME,
                "ui-field-behaviour": {
                    "hidden-fields": [],
                    "relabeling": fields.LABELS,
                    "placeholders": fields.PLACEHOLDERS,
                },
                "conn-fields": {
                    field.name: {
                        "label": field.label,
                        "schema": field.schema,
                        "description": field.meaning,
                    }
                    for field in fields.EXTRA_FIELDS
                },
            }
        ],
    }
