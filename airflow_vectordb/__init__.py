"""Airflow provider for Milvus and Zilliz Cloud."""

__version__ = "0.1.0"


def _require_airflow() -> None:
    """
    Refuse to be imported beside an Airflow that is too old, whose own error would name a module and no reason.

    Where no Airflow is installed, ``airflow_vectordb.rest`` works by itself.

    :raises ImportError: naming the version that is needed and the one that is there
    """
    import re
    from importlib.metadata import PackageNotFoundError, version

    for distribution in ("apache-airflow", "apache-airflow-core"):  # the first only depends on the second
        try:
            installed = version(distribution)
        except PackageNotFoundError:
            continue
        found = re.match(r"(\d+)\.(\d+)", installed)
        if found and (int(found[1]), int(found[2])) < (3, 1):
            raise ImportError(f"airflow_vectordb needs Airflow 3.1 or later, and this is Airflow {installed}")
        return


_require_airflow()
