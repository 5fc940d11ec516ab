"""Differences between Airflow 3.1 and later versions, and other uses of Airflow's internals."""

from __future__ import annotations

from typing import Any

try:
    from airflow.sdk import exceptions

    exceptions.AirflowFailException  # noqa: B018
except (ImportError, AttributeError):  # Airflow 3.1
    from airflow import exceptions  # type: ignore[no-redef,unused-ignore]

AirflowException = exceptions.AirflowException
AirflowFailException = exceptions.AirflowFailException
AirflowNotFoundException = exceptions.AirflowNotFoundException
AirflowRescheduleException = exceptions.AirflowRescheduleException
AirflowSensorTimeout = exceptions.AirflowSensorTimeout
AirflowSkipException = exceptions.AirflowSkipException
TaskDeferralTimeout = exceptions.TaskDeferralTimeout


def mask_secret(secret: str) -> None:
    """Register a secret with Airflow's masker."""
    from airflow.sdk.log import mask_secret as mask

    mask(secret)


async def amask_secret(secret: str) -> None:
    """Register a secret with Airflow's masker, from an event loop."""
    try:
        from airflow.sdk.log import amask_secret as mask
    except ImportError:  # Airflow before 3.2.2: registers it with this process, not the supervisor
        mask_secret(secret)
    else:
        await mask(secret)


def configuration() -> Any:
    """Return Airflow's configuration."""
    try:
        from airflow.sdk.configuration import conf
    except ImportError:  # Airflow 3.1
        from airflow.configuration import conf
    return conf


def default_deferrable() -> bool:
    """Return Airflow's ``operators.default_deferrable``."""
    return bool(configuration().getboolean("operators", "default_deferrable", fallback=False))


def lineage_collector() -> Any:
    """Return Airflow's collector of what hooks read and write."""
    try:
        from airflow.sdk.lineage import get_hook_lineage_collector
    except ImportError:  # Airflow 3.1
        from airflow.lineage.hook import get_hook_lineage_collector  # type: ignore[no-redef,import-not-found,unused-ignore]
    return get_hook_lineage_collector()


def connection_of_path(path: Any) -> str | None:
    """Return the id of the Airflow connection of an ``ObjectStoragePath``; None: it has none."""
    conn_id = path.storage_options.get("conn_id")  # of Airflow 3.1, whose paths have no conn_id
    return conn_id if conn_id is not None else getattr(path, "conn_id", None)


def is_dag_test() -> bool:
    """
    Return whether tasks and triggers run in one process, as with ``dag.test()``, ``airflow dags test``, ``tasks test``.

    Airflow's supervisor is replaced there by an object that cannot be used from an event loop.
    """
    supervisor = _supervisor()
    return supervisor is not None and not hasattr(supervisor, "asend")


def is_run_by_airflow() -> bool:
    """Return whether Airflow runs this task; unit tests of DAGs call ``execute`` themselves."""
    return _supervisor() is not None


def _supervisor() -> Any:
    from airflow.sdk.execution_time import task_runner  # expensive, but already loaded when a task runs

    return getattr(task_runner, "SUPERVISOR_COMMS", None)


def is_retry(context: Any) -> bool:
    """Return whether an earlier try may have done something; without a task instance, there was none."""
    number = getattr((context or {}).get("ti"), "try_number", 1)
    return isinstance(number, int) and number > 1
