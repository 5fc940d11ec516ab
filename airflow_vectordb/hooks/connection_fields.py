"""The fields of an Airflow connection to Milvus, in one table.

The Connections page (from ``get_provider_info`` on Airflow 3.2 and later, from the hook's form widgets on 3.1), the
hook that reads a connection, and the documentation are all generated from it. This module imports almost nothing,
since Airflow loads it at the start of every process.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from airflow_vectordb.rest import DEFAULT_DATABASE, DEFAULT_PORT, DEFAULT_RETRIES, DEFAULT_TIMEOUT

CONNECTION_TYPE = "milvus"
HOOK_NAME = "Milvus / Zilliz Cloud"
DEFAULT_CONN_ID = "milvus_default"
#: The console for each domain of Zilliz Cloud's hosts.
CLOUD_CONSOLES = {
    ".zillizcloud.com.cn": "https://cloud.zilliz.com.cn",
    ".zilliz.com.cn": "https://cloud.zilliz.com.cn",
    ".zillizcloud.com": "https://cloud.zilliz.com",
    ".zilliz.com": "https://cloud.zilliz.com",
}


class StandardField(NamedTuple):
    """One of Airflow's own connection fields, as Milvus uses it."""

    name: str
    label: str
    placeholder: str


class ExtraField(NamedTuple):
    """One key of the connection's ``extra``."""

    name: str
    label: str
    schema: dict[str, Any]
    meaning: str


STANDARD_FIELDS = (
    StandardField("host", "Host or URL", "localhost, or https://….zillizcloud.com"),
    StandardField("port", "Port", str(DEFAULT_PORT)),
    StandardField("login", "User", "root; empty with an API key"),
    StandardField("password", "Password or API key", "the user's password, or an API key without a user"),
    StandardField("schema", "Database", DEFAULT_DATABASE),
)

#: Labels and placeholders of Airflow's standard fields in the form.
LABELS = {field.name: field.label for field in STANDARD_FIELDS}
PLACEHOLDERS = {field.name: field.placeholder for field in STANDARD_FIELDS}

EXTRA_FIELDS = (
    ExtraField(
        "secure",
        "Use TLS (https) for a bare host",
        {"type": ["boolean", "null"], "default": False},
        "Use https if the host is a bare name. If it is a URL, its own scheme decides.",
    ),
    ExtraField(
        "verify",
        "Verify TLS certificate",
        # With a second type, Airflow 3.3 shows a field of six lines. No default, because Airflow treats strings in an
        # extra as secrets, and warns in each task's log about one as short as "true".
        {"type": ["string", "null"]},
        "Empty or true: it is verified. false: it is not. Or the path of a CA bundle (PEM) on the workers.",
    ),
    ExtraField(
        "client_cert",
        "Client certificate",
        {"type": ["string", "null"]},
        "Path of a PEM file with certificate and unencrypted key, for mutual TLS: on API server, workers, triggerer.",
    ),
    ExtraField(
        "timeout",
        "Time-out of one call (seconds)",
        {"type": ["number", "null"], "default": int(DEFAULT_TIMEOUT), "exclusiveMinimum": 0},
        "Seconds that the server gets for one call. The socket gets a little more.",
    ),
    ExtraField(
        "retries",
        "Retries",
        {"type": ["integer", "null"], "default": DEFAULT_RETRIES, "minimum": 0},
        "Attempts after the first one, for calls that may be repeated and transient errors.",
    ),
    ExtraField(
        "console_url",
        "Console URL",
        {"type": ["string", "null"]},
        "The web page of this instance: Attu, Milvus WebUI, or the Zilliz Cloud console.",
    ),
)
