"""Arguments of the tasks about collections: what is refused when a DAG is parsed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_vectordb.operators.collection import (
    CreateCollectionOperator,
    VerifyCollectionOperator,
)
from tests.support.schemas import DOCS


class TestArguments:
    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ({}, "pass either schema or dimension"),
            ({"schema": DOCS, "dimension": 4}, "pass either schema or dimension"),
            ({"dimension": 1}, "dimension must be an integer from 2 to 32,768, not 1"),
            ({"schema": {"fields": [{"fieldName": "id", "isPrimaryKey": True}]}}, "did you mean 'isPrimary'?"),
            (
                {"schema": {"fields": [{"fieldName": "{{ id }}", "isPrimaryKey": True}]}},
                "did you mean 'isPrimary'?",
            ),
            ({"schema": Path("docs.yaml")}, "docs.yaml')): pass the name of a file beside the DAG as a string"),
            ({"schema": DOCS, "properties": Path("docs.yaml")}, "pass the name of a file beside the DAG as a string"),
            ({"schema": DOCS, "index_params": Path("docs.yaml")}, "pass the name of a file beside the DAG as a string"),
            ({"schema": DOCS, "if_exists": "drop"}, "if_exists must be 'skip' or 'replace' or 'fail'"),
            ({"schema": DOCS, "alter": "yes"}, "alter must be True or False"),
            ({"schema": DOCS, "properties": {"shardsNum": 0}}, "shardsNum must be an integer"),
        ],
    )
    def test_what_can_never_be_right_is_refused_when_the_dag_is_parsed(
        self, arguments: dict[str, Any], words: str
    ) -> None:
        with pytest.raises(ValueError, match="task t: ") as caught:
            CreateCollectionOperator(task_id="t", collection_name="docs", **arguments)
        assert words in str(caught.value)

    @pytest.mark.parametrize("schema", ["schema.yaml", "{{ params.schema }}", {"fields": "{{ params.fields }}"}])
    def test_what_is_known_later_passes(self, schema: Any) -> None:
        task = CreateCollectionOperator(task_id="t", collection_name="docs", schema=schema)
        assert task.schema is schema

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ({"k": 0}, "k must be an integer from 1 to 16,384, not 0"),
            ({"sample": -1}, "sample must be an integer from 0"),
            ({"min_recall": 2}, "min_recall must be a number from 0 to 1, not 2"),
            ({"min_rows": -1}, "min_rows must be a number of rows, 0 or more, not -1: pass a number"),
            ({"min_rows": "None"}, "not 'None': does the task that it comes from return a number?"),
            ({"min_rows": {"count": 5}}, "pass the number in it, or call its key `rows`"),
            ({"min_rows": "[{'count': 5}]"}, "pass the number in it, or call its key `rows`"),
            ({"min_rows": 5, "max_rows": 1}, "min_rows is 5, but max_rows is 1"),
            ({"check": "count"}, "check must be a function"),
        ],
    )
    def test_of_the_verification(self, arguments: dict[str, Any], words: str) -> None:
        with pytest.raises(ValueError, match="task t: ") as caught:
            VerifyCollectionOperator(task_id="t", collection_name="docs", **arguments)
        assert words in str(caught.value)
