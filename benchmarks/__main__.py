"""Run the benchmarks: ``python -m benchmarks [name ...] [--json FILE]``."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import pkgutil
import platform
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks import cases
from benchmarks.fresh import airflow_home
from benchmarks.report import Report


def _find() -> dict[str, ModuleType]:
    names = sorted(module.name for module in pkgutil.iter_modules(cases.__path__))
    return {name: importlib.import_module(f"{cases.__name__}.{name}") for name in names}


def _title(case: ModuleType) -> str:
    return (case.__doc__ or case.__name__).strip().splitlines()[0]


def _arguments(found: dict[str, ModuleType]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure what this provider costs, beside what one would use instead.",
        epilog="benchmarks:\n"
        + "\n".join(f"  {name:<10} {_title(case)}" for name, case in found.items())
        + "\n\nexit status: 0 if every budget holds, 1 if one is exceeded",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", nargs="*", help="a benchmark (default: all of them)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="also write the results into this file")
    parser.add_argument(
        "--busy", action="store_true", help="the machine does other things too: budgets about time count double"
    )
    arguments = parser.parse_args()
    unknown = [name for name in arguments.name if name not in found]
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(found)}")
    return arguments


def _machine() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "airflow": version("apache-airflow"),
        "system": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
    }


def main() -> int:
    """Run what was asked for. Returns the exit status."""
    found = _find()
    arguments = _arguments(found)
    machine = _machine()
    print(
        f"Python {machine['python']}, Airflow {machine['airflow']}, {machine['system']}, {machine['cpus']} CPUs",
        flush=True,
    )
    reports: dict[str, Report] = {}
    # Airflow is imported by some benchmarks, and makes files in its home.
    with tempfile.TemporaryDirectory() as directory:
        os.environ.update(airflow_home(Path(directory)))
        for name in dict.fromkeys(arguments.name or found):
            title = _title(found[name])
            print(f"\n{title}\n{'=' * len(title)}", flush=True)
            began = time.monotonic()
            reports[name] = found[name].run()
            print("\n".join(reports[name].lines()))
            print(f"({name}: {time.monotonic() - began:.0f} s)", flush=True)
    if arguments.json is not None:
        benchmarks = {name: {"title": _title(found[name]), **report.as_json()} for name, report in reports.items()}
        arguments.json.write_text(json.dumps({"machine": machine, "benchmarks": benchmarks}, indent=2) + "\n")
    failed = [
        name for name, report in reports.items() if not (report.roughly_holds if arguments.busy else report.holds)
    ]
    print(f"\nBudgets exceeded: {', '.join(failed)}" if failed else "\nAll budgets hold.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
