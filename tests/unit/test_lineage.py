"""What a task did to a collection: outlets of both kinds, and hook lineage."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import Asset, AssetAlias

from airflow_vectordb import _compat, mixins
from tests.support.fake_milvus import FakeMilvus
from tests.support.harness import Operating
from tests.support.scripted import Serve

try:
    from airflow.sdk.lineage import HookLineageCollector
except ImportError:  # Airflow 3.1
    from airflow.lineage.hook import HookLineageCollector  # type: ignore[no-redef,import-not-found,unused-ignore]


class Events:
    """Airflow's accessor of outlet events."""

    def __init__(self) -> None:
        self.extra: dict[str, Any] = {}
        self.added: list[tuple[str, Any]] = []

    def __getitem__(self, outlet: Asset | AssetAlias) -> Any:
        return SimpleNamespace(extra=self.extra, add=lambda asset, extra: self.added.append((asset.uri, extra)))


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> HookLineageCollector:
    """Airflow's own collector, which it uses only when somebody reads it."""
    found = HookLineageCollector()
    monkeypatch.setattr(mixins, "lineage_collector", lambda: found)
    return found


@pytest.mark.parametrize("outlets", [[], [AssetAlias("made")], [Asset("milvus://localhost/default/docs")]])
def test_what_was_done_is_told(
    outlets: list[Any], collector: HookLineageCollector, serve: Serve, operating: Operating
) -> None:
    server = serve(FakeMilvus())
    operating.connect(server, schema="sales")
    events = Events()

    operator = operating.operator(outlets=outlets)
    result = operator.execute({"ti": SimpleNamespace(try_number=1), "outlet_events": events})  # type: ignore[typeddict-item]

    uri = f"milvus://127.0.0.1:{server.port}/sales/docs"
    (told,) = collector.collected_assets.outputs
    assert (told.asset.uri, told.count) == (uri, 1)
    assert events.added == ([(uri, {"indexes": result})] if outlets and isinstance(outlets[0], AssetAlias) else [])
    assert events.extra == ({"indexes": result} if outlets and isinstance(outlets[0], Asset) else {})


def test_a_failed_task_tells_nothing(collector: HookLineageCollector, serve: Serve, operating: Operating) -> None:
    operating.connect(serve(FakeMilvus("another")))
    with pytest.raises(Exception, match="can't find collection"):
        operating.execute(operating.operator())
    assert collector.collected_assets.outputs == []


def test_the_collector_is_airflows() -> None:
    assert isinstance(_compat.lineage_collector(), HookLineageCollector)
