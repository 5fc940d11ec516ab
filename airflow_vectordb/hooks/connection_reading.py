"""Reading an Airflow connection with patience: without I/O, driven by the hook's sync and async sides alike."""

from __future__ import annotations

import logging
from collections.abc import Generator, Sequence
from typing import Any

from airflow_vectordb._compat import AirflowNotFoundException
from airflow_vectordb.rest.driver import Sleep
from airflow_vectordb.rest.wording import duration

#: Seconds between attempts to read a connection. Airflow says that there is none while its database is away, too.
PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0)
#: Those for one that has not been read before: its id may be misspelt, and a user reads the log.
FIRST_PAUSES = PAUSES[:2]

#: Yields None when the connection is to be read: send it in, or throw Airflow's exception.
Reading = Generator[Sleep | None, Any, Any]


def reading(pauses: Sequence[float]) -> Reading:
    """
    Read a connection, again and again while Airflow says that there is none.

    :param pauses: seconds between the attempts
    :return: the connection
    :raises AirflowNotFoundException: that of the last attempt
    """
    told = ""
    for pause in pauses:
        try:
            return (yield None)
        except AirflowNotFoundException as error:
            text = f"{error}. Airflow also says so while its database is away"
        line = "still no connection" if text == told else text
        yield Sleep(pause, logging.WARNING, f"{line}; trying again in {duration(pause)}")
        told = text
    return (yield None)


__all__ = ["FIRST_PAUSES", "PAUSES", "Reading", "reading"]
