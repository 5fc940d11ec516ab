"""Metadata of this provider for Airflow (entry point ``apache_airflow_provider``)."""

from __future__ import annotations

from typing import Any

from airflow_vectordb.hooks import connection_fields as fields

INTEGRATION = "Milvus"


def _modules(*names: str) -> list[dict[str, Any]]:
    return [{"integration-name": INTEGRATION, "python-modules": [f"airflow_vectordb.{name}" for name in names]}]


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
            {"integration-name": INTEGRATION, "external-doc-url": "https://milvus.io/docs", "tags": ["service"]}
        ],
        "hooks": _modules("hooks.milvus"),
        "operators": _modules(
            "operators.alias", "operators.collection", "operators.import_job", "operators.index", "operators.ingest"
        ),
        "sensors": _modules("sensors.milvus"),
        "triggers": _modules("triggers.milvus"),
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
                    field.name: {"label": field.label, "schema": field.schema, "description": field.meaning}
                    for field in fields.EXTRA_FIELDS
                },
            }
        ],
    }
