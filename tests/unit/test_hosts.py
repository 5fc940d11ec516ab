"""Names that no host can have: one permanent error, before the first request, whoever connects."""

from __future__ import annotations

import pytest

from airflow_vectordb._compat import AirflowFailException
from airflow_vectordb.hooks.milvus import MilvusHook
from airflow_vectordb.rest import MilvusConfig, errors
from airflow_vectordb.rest.hosts import host_problem
from tests.support.drivers import end_of, trigger_of
from tests.support.harness import Operating, airflows

BAD = {
    "milvus..svc": "empty part",
    ".example": "empty part",
    "milvus.svc..": "empty part",
    ".": "empty part",
    f"{'a' * 64}.example": "63 characters",
    ".".join(["a" * 63] * 4): "253 characters",
    f"{'ü' * 60}.example": "not a valid host name",
    "-ü.example": "not a valid host name",
    "mil*vus": "characters",
    "*.example": "characters",
    "mil%20vus": "characters",
    "mil\\vus": "characters",
    "mil,vus": "characters",
    "mil\x00vus": "characters",
    "$(whoami)": "characters",
}
GOOD = [
    "localhost",
    "milvus.example.com",
    "milvus.example.com.",
    "MILVUS",
    "my_milvus-1.svc.cluster.local",
    "127.0.0.1",
    "127.1",
    "::1",
    "fe80::1%eth0",
    "bücher.example",
    "数据.example",
    "xn--bcher-kva.example",
    ".".join(["a" * 61] * 4),
    "a" * 63,
]


@pytest.mark.parametrize("host", BAD)
def test_names_that_no_host_has(host: str) -> None:
    with pytest.raises(errors.InvalidParametersError, match=BAD[host]) as caught:
        MilvusConfig(f"http://{host}:19530")
    assert not caught.value.transient
    assert len(caught.value.problems) == 1
    assert repr(host.lower()) in str(caught.value)


@pytest.mark.parametrize("host", GOOD)
def test_names_that_a_host_may_have(host: str) -> None:
    assert host_problem(host) is None
    MilvusConfig(f"http://{f'[{host}]' if ':' in host else host}:19530")


@pytest.mark.parametrize("url", ["http://[1::2::3]", "http://[::1", "http://[v1.x]", "http://[]", "http://[:::1]:1"])
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(errors.InvalidParametersError):
        MilvusConfig(url)


@pytest.mark.parametrize("host", ["milvus..svc", ".example", f"{'a' * 64}.example"])
async def test_worker_triggerer_and_test_button_say_the_same(host: str, operating: Operating) -> None:
    operating.connect(host)
    event = await end_of(trigger_of())
    with pytest.raises(errors.InvalidParametersError) as caught:
        operating.execute(operating.operator())
    works, message = MilvusHook().test_connection()

    assert (event["error"], event["transient"]) == ("InvalidParametersError", False)
    assert airflows(caught.value) is AirflowFailException
    assert not works
    for text in (event["message"], str(caught.value), message):
        assert f"the host {host!r} cannot be used: " in text
