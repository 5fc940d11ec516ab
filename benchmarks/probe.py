"""Run by itself in a fresh interpreter: ``probe.py time|heap module ...``; see :func:`benchmarks.imports.measure`."""

from __future__ import annotations

import gc
import importlib
import json
import sys
import time
import tracemalloc
from pathlib import Path

import psutil


def _rss() -> float:
    gc.collect()
    return float(psutil.Process().memory_info().rss) / 2**20


def _main() -> None:
    heap, modules = sys.argv[1] == "heap", sys.argv[2:]
    # For a checkout that is not installed; an installed one comes first.
    sys.path.append(str(Path(__file__).parent.parent))
    from airflow.sdk import DAG, BaseOperator  # noqa: F401  # what every DAG file pays for

    before, rss = sorted(sys.modules), _rss()
    if heap:
        tracemalloc.start()
    began = time.perf_counter()
    for module in modules:
        importlib.import_module(module)
    seconds = time.perf_counter() - began
    rss = _rss() - rss
    grown = tracemalloc.get_traced_memory()[0] / 2**20 if heap else 0.0
    tracemalloc.stop()
    print(json.dumps({"before": before, "after": sorted(sys.modules), "mib": max(rss, grown), "seconds": seconds}))


if __name__ == "__main__":
    _main()
