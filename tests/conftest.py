"""What all tests share: how they are spread over processes, Airflow's home, and a hook."""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from airflow_vectordb.hooks.milvus import MilvusHook
    from airflow_vectordb.local import LocalMilvus

if "airflow" not in sys.modules:  # it reads its home directory once
    os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="airflow-home-")
    atexit.register(shutil.rmtree, os.environ["AIRFLOW_HOME"], ignore_errors=True)

#: What takes longest comes first, so that no process is left alone with it in the end.
LONGEST = ("dags/", "ingest/test_kills.py", "demo/test_demo_run.py", "local/")

gc.disable()  # until all is imported and collected, nearly all of which stays


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: _rank(item.path))


@cache
def _rank(path: Path) -> int:
    name = path.relative_to(Path(__file__).parent).as_posix()
    return next((rank for rank, start in enumerate(LONGEST) if name.startswith(start)), len(LONGEST))


def pytest_collection_finish() -> None:
    """Leave what is there before the tests out of garbage collections: Airflow alone takes 0.2 s of each."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Have one process more than there are cores: a third of a test's time is waiting for servers and processes."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep the tests of a file together, which share servers, and those of DAGs, which share an Airflow."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduler(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return "tests/dags" if file.startswith("tests/dags/") else file

        def mark_test_complete(self, node: Any, item_index: int, duration: float = 0) -> None:
            super().mark_test_complete(node, item_index, duration)
            # It counts all tests that a process has had, again and again: what is done need not be among them.
            files = self.assigned_work[node]
            file = self._split_scope(self.registered_collections[node][item_index])
            if all(files[file].values()):
                del files[file]

    config.option.loadscopereorder = False
    return Scheduler(config, log)


@pytest.fixture
def hook(server: LocalMilvus, monkeypatch: pytest.MonkeyPatch) -> Iterator[MilvusHook]:
    """A hook whose connection leads to ``server``, which is empty again after the test."""
    from airflow_vectordb.hooks.milvus import MilvusHook
    from airflow_vectordb.rest import collections
    from tests.support.local_api import connection_to

    monkeypatch.setenv("AIRFLOW_CONN_MILVUS_DEFAULT", connection_to(server.uri, server.token))
    with MilvusHook() as opened:
        yield opened
        for alias in opened.list_aliases():
            opened.drop_alias(alias)
        for name in opened.send(collections.list_()):
            opened.send(collections.drop(name))
