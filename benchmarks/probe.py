"""Run by itself in a fresh interpreter: ``probe.py time|heap module ...``; see :func:`benchmarks.fresh.measure`."""

from __future__ import annotations

import gc
import importlib
import json
import resource
import sys
import time
import tracemalloc
from pathlib import Path

MIB = 1024 * 1024


def rss() -> float:
    """Tell the resident memory of this process in MiB: now, or where the system does not say, at its highest."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return highest / MIB if sys.platform == "darwin" else highest / 1024
    return pages * resource.getpagesize() / MIB


def main() -> None:
    """Import and print what it cost, as JSON."""
    heap, modules = sys.argv[1] == "heap", sys.argv[2:]
    # For a checkout that is not installed; an installed one comes first.
    sys.path.append(str(Path(__file__).parent.parent))
    began = time.perf_counter()
    from airflow.sdk import DAG, BaseOperator

    bare_seconds = time.perf_counter() - began
    assert DAG is not None
    assert BaseOperator is not None
    gc.collect()
    before, bare_rss = sorted(sys.modules), rss()
    if heap:
        tracemalloc.start()
    began = time.perf_counter()
    for module in modules:
        importlib.import_module(module)
    seconds = time.perf_counter() - began
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] / MIB if heap else None
    tracemalloc.stop()
    found = {
        "before": before,
        "after": sorted(sys.modules),
        "rss": rss() - bare_rss,
        "heap": grown,
        "seconds": seconds,
        "bare_seconds": bare_seconds,
        "bare_rss": bare_rss,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
