"""Arguments of sensors, and where they and the operators that wait do so by default."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk import BaseOperator

from airflow_vectordb._compat import AirflowException
from airflow_vectordb.operators.collection import LoadCollectionOperator, ReleaseCollectionOperator
from airflow_vectordb.operators.index import CreateIndexOperator
from tests.support.drivers import TaskDeferred
from tests.support.fake_milvus import BUILT, FakeMilvus, indexed, rows, told
from tests.support.harness import HNSW, Clock, Operating
from tests.support.scripted import Serve
from tests.support.sensors import index_sensor, load_sensor


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"poke_interval": 0.01}, "poke_interval must be at least 0.1 s"),
        ({"poke_interval": timedelta(0)}, "poke_interval must be at least 0.1 s"),
        ({"poke_interval": -1}, "poke_interval must be"),
        ({"poke_interval": math.inf}, "poke_interval must be"),
        ({"poke_interval": True}, "poke_interval must be"),
        ({"poke_interval": "30s"}, "poke_interval must be a number of seconds or a timedelta"),
        ({"timeout": math.nan}, "timeout must be"),
        ({"timeout": -1}, "timeout must be"),
        ({"timeout": "1h"}, "timeout must be a number of seconds or a timedelta"),
    ],
)
@pytest.mark.parametrize("kind", [index_sensor, load_sensor])
def test_bad_arguments_are_refused_when_the_dag_is_parsed(
    kind: Callable[..., Any], arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=f"task wait: .*{words}"):
        kind(**arguments)


@pytest.mark.parametrize("mode", ["pokey", "defer"])
def test_modes_that_there_are_not(mode: str) -> None:
    with pytest.raises((ValueError, AirflowException), match="mode must be one of"):
        index_sensor(mode=mode)


# operators.default_deferrable ---------------------------------------------------------------------------------------

KINDS: dict[str, Callable[..., BaseOperator]] = {
    "IndexSensor": lambda **given: index_sensor(**given),
    "CollectionLoadSensor": lambda **given: load_sensor(**given),
    "CreateIndexOperator": lambda **given: CreateIndexOperator(
        task_id="t", collection_name="docs", index_params=HNSW, **given
    ),
    "LoadCollectionOperator": lambda **given: LoadCollectionOperator(task_id="t", collection_name="docs", **given),
    "ReleaseCollectionOperator": lambda **given: ReleaseCollectionOperator(
        task_id="t", collection_name="docs", **given
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("setting", "given", "deferrable"),
    [
        (None, {}, False),
        ("True", {}, True),
        ("true", {"deferrable": None}, True),
        ("True", {"deferrable": False}, False),
        ("False", {"deferrable": True}, True),
        (None, {"deferrable": True}, True),
    ],
)
def test_airflows_default_of_deferrable(
    setting: str | None, given: dict[str, Any], deferrable: bool, kind: str, operating: Operating
) -> None:
    if setting is not None:
        operating.setenv("AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE", setting)
    assert KINDS[kind](**given).deferrable is deferrable  # type: ignore[attr-defined]


@pytest.mark.parametrize("given", [None, False])
def test_the_default_decides_where_it_waits(
    given: bool | None, serve: Serve, operating: Operating, clock: Clock
) -> None:
    operating.setenv("AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE", "True")
    operating.connect(serve(FakeMilvus(progress=told(*[rows(9)] * 5, BUILT))))
    task = operating.operator(deferrable=given)
    if given is None:
        with pytest.raises(TaskDeferred):
            operating.execute(task)
    else:
        assert operating.execute(task)[0]["state"] == "Finished"


def test_deferrable_goes_before_mode(serve: Serve, operating: Operating, clock: Clock) -> None:
    operating.connect(serve(indexed(rows(9))))
    with pytest.raises(TaskDeferred):
        operating.execute(index_sensor(deferrable=True, mode="reschedule"))
