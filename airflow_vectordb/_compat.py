"""The few names that live in different places on Airflow 3.1 and later ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.sdk.exceptions import (
        AirflowException,
        AirflowFailException,
        AirflowNotFoundException,
        AirflowSensorTimeout,
        AirflowSkipException,
        TaskDeferralTimeout,
    )
else:
    try:
        from airflow.sdk.exceptions import (
            AirflowException,
            AirflowFailException,
            AirflowNotFoundException,
            AirflowSensorTimeout,
            AirflowSkipException,
            TaskDeferralTimeout,
        )
    except ImportError:  # Airflow 3.1
        from airflow.exceptions import (
            AirflowException,
            AirflowFailException,
            AirflowNotFoundException,
            AirflowSensorTimeout,
            AirflowSkipException,
            TaskDeferralTimeout,
        )


async def amask_secret(secret: str) -> None:
    """
    Register a secret with Airflow's masker, from an event loop.

    :param secret: what must not be shown
    """
    try:
        from airflow.sdk.log import amask_secret as mask
    except ImportError:  # Airflow before 3.2.2: from an event loop, it tells this process and not the supervisor
        from airflow.sdk.log import mask_secret

        mask_secret(secret)
    else:
        await mask(secret)


def configuration() -> Any:
    """Get Airflow's configuration."""
    try:
        from airflow.sdk.configuration import conf
    except ImportError:  # Airflow 3.1
        from airflow.configuration import conf
    return conf


def default_deferrable() -> bool:
    """Tell Airflow's ``operators.default_deferrable``."""
    return bool(configuration().getboolean("operators", "default_deferrable", fallback=False))


def is_dag_test() -> bool:
    """
    Tell whether tasks and triggers run in one process, as by ``dag.test()``, ``airflow dags test`` and ``tasks test``.

    What stands in for Airflow's supervisor then cannot be asked from an event loop.
    """
    supervisor = _supervisor()
    return supervisor is not None and not hasattr(supervisor, "asend")


def is_run_by_airflow() -> bool:
    """Tell whether Airflow runs this task, by whatever means; unit tests of DAGs call it themselves."""
    return _supervisor() is not None


def _supervisor() -> Any:
    from airflow.sdk.execution_time import task_runner

    return getattr(task_runner, "SUPERVISOR_COMMS", None)


def is_retry(context: Any) -> bool:
    """
    Tell whether an earlier try of this task instance may have done something.

    :param context: the task's context; without a task instance, as unit tests give it, it is the first try
    """
    number = getattr((context or {}).get("ti"), "try_number", 1)
    return isinstance(number, int) and number > 1


__all__ = [
    "AirflowException",
    "AirflowFailException",
    "AirflowNotFoundException",
    "AirflowSensorTimeout",
    "AirflowSkipException",
    "TaskDeferralTimeout",
    "amask_secret",
    "configuration",
    "default_deferrable",
    "is_dag_test",
    "is_retry",
    "is_run_by_airflow",
]
