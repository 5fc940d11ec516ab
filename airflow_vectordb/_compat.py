"""The few names that live in different places on Airflow 3.1 and later ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.sdk.exceptions import AirflowException, AirflowFailException
else:
    try:
        from airflow.sdk.exceptions import AirflowException, AirflowFailException
    except ImportError:  # Airflow 3.1
        from airflow.exceptions import AirflowException, AirflowFailException

__all__ = ["AirflowException", "AirflowFailException"]
