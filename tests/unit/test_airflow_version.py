"""Beside an Airflow that is too old, importing the package says so in one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def import_beside(tmp_path: Path, module: str, **installed: str) -> subprocess.CompletedProcess[str]:
    """Import a module in a Python whose installed distributions are only these: name -> version."""
    for name, version in installed.items():
        metadata = tmp_path / f"{name}-{version}.dist-info" / "METADATA"
        metadata.parent.mkdir()
        metadata.write_text(f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: {version}\n")
    code = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]; import {module}; print('imported')"
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("module", ["airflow_vectordb", "airflow_vectordb.operators.index", "airflow_vectordb.rest"])
@pytest.mark.parametrize("version", ["2.11.0", "2.9.3", "3.0.6", "3.0.0rc1"])
def test_an_older_airflow_is_named(tmp_path: Path, module: str, version: str) -> None:
    done = import_beside(tmp_path, module, apache_airflow=version)
    assert done.returncode == 1
    last = f"ImportError: airflow_vectordb needs Airflow 3.1 or later, and this is Airflow {version}"
    assert done.stderr.splitlines()[-1] == last


def test_airflow_may_be_installed_by_its_core_alone(tmp_path: Path) -> None:
    done = import_beside(tmp_path, "airflow_vectordb", apache_airflow_core="3.0.6")
    assert done.stderr.endswith("this is Airflow 3.0.6\n")


@pytest.mark.parametrize("version", ["3.1.0", "3.1.8", "3.1.0rc2", "3.10.1", "4.0.0"])
def test_a_newer_one_is_fine(tmp_path: Path, version: str) -> None:
    done = import_beside(tmp_path, "airflow_vectordb", apache_airflow=version)
    assert (done.stdout, done.stderr) == ("imported\n", "")


def test_rest_needs_no_airflow(tmp_path: Path) -> None:
    done = import_beside(tmp_path, "airflow_vectordb.rest")
    assert (done.stdout, done.stderr) == ("imported\n", "")
