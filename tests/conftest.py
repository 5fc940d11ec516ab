"""What all tests share: how they are spread over processes."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import Any

import pytest

#: What takes longest comes first, so that no process is left alone with it in the end.
ORDER = ("dags", "local", "demo")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    ranks = {here / name: rank for rank, name in enumerate(ORDER)}
    items.sort(key=lambda item: ranks.get(item.path.parent, len(ORDER)))


def pytest_collection_finish() -> None:
    """Leave what is there before the tests out of garbage collections: Airflow alone takes 0.2 s of each."""
    gc.collect()
    gc.freeze()


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

    config.option.loadscopereorder = False
    return Scheduler(config, log)
