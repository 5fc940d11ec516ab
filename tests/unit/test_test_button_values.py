"""The Test button, when what is in the form cannot be used: all of it is reported together, and nothing is sent."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_vectordb.hooks.connection_fields import EXTRA_FIELDS, STANDARD_FIELDS
from airflow_vectordb.hooks.milvus import MilvusHook
from tests.support.harness import PASSWORD, Operating

LABELS = {field.name: f'"{field.label}"' for field in (*STANDARD_FIELDS, *EXTRA_FIELDS)}


class TestValues:
    def test_all_that_is_wrong_is_reported_together(self, operating: Operating) -> None:
        operating.connect(
            "a b",
            port=99999,
            password=None,
            extra={"timeout": "abc", "retries": -1.5, "secure": "perhaps", "verify": "/nowhere/ca.pem"},
        )
        worked, message = MilvusHook().test_connection()
        assert not worked
        assert message.startswith("7 things cannot be used: (1) ")
        for words in ("not 'abc'", "not -1.5", "not 'perhaps'", "'/nowhere/ca.pem'", "not 99999", "host name", "login"):
            assert words in message
        for name in ("secure", "verify", "timeout", "retries"):
            assert f"{LABELS[name]} (extra `{name}`)" in message

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({"extra": {"timeout": 0}}, f"{LABELS['timeout']} (extra `timeout`) must be a number of seconds above 0"),
            ({"extra": {"retries": -2}}, f"{LABELS['retries']} (extra `retries`) must be 0 or more, not -2"),
            ({"extra": {"client_cert": "/a.pem"}}, f"{LABELS['client_cert']} (extra `client_cert`) needs TLS"),
            ({"extra": {"verify": "flase"}}, f"{LABELS['verify']} (extra `verify`) must be true, false or the path"),
            ({"server": "h:1", "port": 2}, "the host names the port 1, and the port is 2: leave one of them out"),
            ({"server": "http://ada:s3cret-Lovelace@h"}, "belong in login and password"),
        ],
    )
    def test_one_that_is_wrong(self, operating: Operating, fields: dict[str, Any], words: str) -> None:
        operating.connect(fields.get("server", "h"), port=fields.get("port"), extra=fields.get("extra", {}))
        worked, message = MilvusHook().test_connection()
        assert not worked
        assert message.startswith("This cannot be used: ")
        assert words in message
        assert PASSWORD not in message

    @pytest.mark.parametrize(
        "host", ["h", "https%3A%2F%2Fh", "%5B%3A%3A1%5D", "https://h", "https://gateway%2Fmilvus", "h%3A1"]
    )
    @pytest.mark.parametrize("rest", ["", "/", "/books", "/?timeout=abc", "/books?console_url=http%3A%2F%2Fx%3A8000"])
    def test_a_port_that_airflow_cannot_read_again(self, host: str, rest: str, monkeypatch: pytest.MonkeyPatch) -> None:
        # As the API server gives it to the hook; there, Airflow itself would say that it is not defined.
        scheme, _, name = host.rpartition("://")
        uri = f"milvus://{scheme + '://' if scheme else ''}ada:s3cret%3ALovelace%40@{name}:99999{rest}"
        monkeypatch.setenv("AIRFLOW_CONN_MILVUS_DEFAULT", uri)
        worked, message = MilvusHook().test_connection()
        assert not worked
        assert "the port must be a number from 1 to 65535, not 99999" in message
        assert ("not 'abc'" in message) is ("abc" in rest)
        assert "Lovelace" not in message

    def test_no_connection_at_all(self) -> None:
        worked, message = MilvusHook("nobody").test_connection()
        assert not worked
        assert "nobody" in message
