"""What ``--backend`` makes of what a Milvus says about loading and flushing; tests/engine asks a real one."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_vectordb.local.engine.messages import common_pb2, milvus_pb2
from airflow_vectordb.local.engine.model import LoadInfo
from airflow_vectordb.local.engine.remote.backend import Backend
from airflow_vectordb.local.engine.remote.loading import Loading
from airflow_vectordb.local.engine.remote.segments import Segments
from airflow_vectordb.local.errors import ApiError


class ScriptedRpc:
    """Answers as a Milvus does, in place of the connection to it.

    :param state: of the collection.
    :param progress: of what is asked for; an error is what the Milvus refuses it with.
    """

    def __init__(self, state: Any, progress: int | ApiError = 100) -> None:
        self.state = state
        self.progress = progress
        self.called: list[tuple[str, Any]] = []

    def __call__(self, method: str, request: Any) -> Any:
        self.called.append((method, request))
        answers = {"GetLoadState": self.state, "GetLoadingProgress": self.progress}
        answer = answers.get(method)
        if isinstance(answer, ApiError):
            raise answer
        if method == "GetLoadState":
            return milvus_pb2.GetLoadStateResponse(state=answer)
        if method == "GetLoadingProgress":
            return milvus_pb2.GetLoadingProgressResponse(progress=answer)
        return getattr(milvus_pb2, f"{method}Response")()


def load_state(rpc: Any, *partitions: str) -> LoadInfo:
    return Loading(Backend(rpc)).state("default", "c", list(partitions))


@pytest.mark.parametrize(
    ("state", "progress", "expected"),
    [
        (common_pb2.LoadStateNotLoad, 0, LoadInfo("LoadStateNotLoad")),
        (common_pb2.LoadStateLoading, 40, LoadInfo("LoadStateLoading", 40)),
        (common_pb2.LoadStateLoading, 100, LoadInfo("LoadStateLoaded", 100)),
        (common_pb2.LoadStateLoaded, 100, LoadInfo("LoadStateLoaded", 100)),
        # Of the partitions that are asked for; the state is the collection's.
        (common_pb2.LoadStateLoaded, 60, LoadInfo("LoadStateLoading", 60)),
        (
            common_pb2.LoadStateLoaded,
            ApiError(201, "partition not loaded[partition=470743935133063410]"),
            LoadInfo("LoadStateLoading", -1, "partition not loaded[partition=470743935133063410]."),
        ),
        (
            common_pb2.LoadStateLoaded,
            ApiError(200, "partition not found[partition=nope]"),
            LoadInfo("LoadStateLoading", -1, "partition not found[partition=nope]."),
        ),
        (
            common_pb2.LoadStateLoaded,
            ApiError(101, "collection not loaded[collection=1]"),
            LoadInfo("LoadStateLoading", -1, "collection not loaded[collection=1]."),
        ),
    ],
)
def test_a_load_state(state: Any, progress: int | ApiError, expected: LoadInfo) -> None:
    rpc = ScriptedRpc(state, progress)
    assert load_state(rpc, "p") == expected
    asked = {method: list(request.partition_names) for method, request in rpc.called}
    # Whether the collection is loaded decides first, whatever partitions are asked for.
    assert asked["GetLoadState"] == []
    assert asked.get("GetLoadingProgress", ["p"]) == ["p"]


@pytest.mark.parametrize("state", [common_pb2.LoadStateNotExist, ApiError(800, "database not found[database=d]")])
def test_a_load_state_of_nothing(state: Any) -> None:
    with pytest.raises(ApiError) as caught:
        load_state(ScriptedRpc(state), "p")
    assert (caught.value.code, caught.value.message) == (100, "collection not found[collection=c]")


@pytest.mark.parametrize("error", [ApiError(2, "service unavailable", 503), ApiError(1800, "who?", 401)])
def test_what_does_not_come_from_the_partitions_is_no_load_state(error: ApiError) -> None:
    for rpc in (ScriptedRpc(error), ScriptedRpc(common_pb2.LoadStateLoaded, error)):
        with pytest.raises(ApiError) as caught:
            load_state(rpc)
        assert caught.value is error


def test_a_flush_does_not_wait() -> None:
    """Nor does it ask how far the Milvus is with it: that would be waiting."""
    rpc = ScriptedRpc(common_pb2.LoadStateLoaded)
    Segments(Backend(rpc)).flush("default", "c")  # type: ignore[arg-type] # it is called like the connection
    assert [method for method, _ in rpc.called] == ["Flush"]
