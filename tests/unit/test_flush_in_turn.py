"""Many tasks that ingest into one collection, and each of them flushes it: Milvus allows one flush in ten seconds."""

from __future__ import annotations

import pytest

from airflow_vectordb._compat import AirflowException
from airflow_vectordb.operators.ingest import IngestOperator
from tests.support.harness import Clock, Operating
from tests.support.loading_milvus import LoadingMilvus
from tests.support.scripted import Behaviour, Request, Serve, error

LIMITED = error(1807, "quota exceeded[reason=rate type: DDLFlush]; please retry later: rate limit exceeded[rate=0.1]")
ROWS = [{"id": 1, "vector": [0.5] * 8, "sparse": {"1": 0.5}, "label": "a"}]


class Crowded(LoadingMilvus):
    """Others are faster for so many seconds."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        super().__init__()
        self._clock, self._seconds = clock, seconds

    def __call__(self, request: Request) -> Behaviour:
        if request.path == "collections/flush" and self._clock.elapsed < self._seconds:
            return LIMITED
        return super().__call__(request)


@pytest.mark.parametrize("retries", [0, 4])
def test_each_has_its_turn(retries: int, serve: Serve, operating: Operating, clock: Clock) -> None:
    server = serve(Crowded(clock, 300))
    operating.connect(server, extra={"retries": retries})
    task = IngestOperator(task_id="t", collection_name="docs", rows=ROWS, flush=True)
    assert task.execute({})["rows"] == 1
    assert 300 <= clock.elapsed <= 345
    assert server.paths.count("entities/upsert") == 1
    assert server.paths.count("collections/flush") <= 32


def test_it_does_not_wait_for_good(serve: Serve, operating: Operating, clock: Clock) -> None:
    operating.connect(serve(Crowded(clock, 10_000)))
    task = IngestOperator(task_id="t", collection_name="docs", rows=ROWS, flush=True)
    with pytest.raises(AirflowException, match=r"^A rate limit allows one such call in 10 s\. Retry later"):
        task.execute({})
    assert 1_800 <= clock.elapsed <= 2_000
