"""What all operators have in common: the connection, Airflow's errors, the limits of a wait."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_vectordb._compat import AirflowException, AirflowFailException
from airflow_vectordb.hooks.connection_fields import DEFAULT_CONN_ID

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_vectordb.hooks.milvus import MilvusHook
    from airflow_vectordb.waits import Deadline

#: Seconds that a wait may take when neither ``timeout`` nor ``execution_timeout`` is set: a day.
LONGEST_WAIT = 24 * 3600.0
#: Seconds: a shorter ``poll_interval`` would be a busy loop.
SHORTEST_POLL_INTERVAL = 0.1


class MilvusOperator(BaseOperator):
    """
    Base of the operators for Milvus and Zilliz Cloud.

    An error that does not pass by itself (a collection that does not exist, bad parameters, wrong credentials, …) ends
    the task at once, whatever its ``retries``. One that may pass (no answer, a limiter, a server that is starting) is
    retried by the hook, by the connection's ``retries``, and after that by Airflow, by the task's.

    :param milvus_conn_id: id of an Airflow connection of type ``milvus``
    :param database: the database; None: the connection's (its schema field)
    """

    template_fields: Sequence[str] = ("milvus_conn_id", "database")
    ui_color = "#dff1ff"

    def __init__(self, *, milvus_conn_id: str = DEFAULT_CONN_ID, database: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.milvus_conn_id = milvus_conn_id
        self.database = database

    @contextmanager
    def milvus(self) -> Iterator[MilvusHook]:
        """
        Open a hook for a ``with`` block, whose errors become Airflow's.

        :raises AirflowFailException: for an error that does not pass by itself
        :raises AirflowException: for one that may pass
        """
        from airflow_vectordb.hooks.milvus import MilvusHook
        from airflow_vectordb.rest.errors import MilvusError

        try:
            with MilvusHook(self.milvus_conn_id, self.database or None) as hook:
                yield hook
        except MilvusError as error:
            kind = AirflowException if error.transient else AirflowFailException
            raise kind(f"task {self.task_id}: {error}") from error

    @contextmanager
    def about(self, hook: MilvusHook, target: str) -> Iterator[None]:
        """
        Say in errors of a ``with`` block what they are about, unless they say so already.

        :param hook: tells the server and the database
        :param target: as ``collection 'docs'``
        """
        from airflow_vectordb.rest.errors import MilvusError, Where

        try:
            yield
        except MilvusError as error:
            # The reason of a failed build is the server's words, too.
            error.reword(hook.endpoint.redact)
            if error.where is None:
                database = hook.endpoint.database or "default"
                error.where = Where("", f"{target} (database {database!r})", hook.endpoint.url)
            raise

    def deadline(self, timeout: timedelta | float | None) -> Deadline:
        """
        Tell when a wait that begins now has to end: by ``timeout``, else ``execution_timeout``, else in 24 h.

        :param timeout: seconds or a timedelta; None: see above
        """
        from airflow_vectordb.waits import Deadline

        if timeout is not None:
            seconds, because = seconds_of(timeout), "timeout"
        elif self.execution_timeout is not None:
            seconds, because = self.execution_timeout.total_seconds(), "execution_timeout"
        else:
            seconds, because = LONGEST_WAIT, "neither timeout nor execution_timeout is set"
        return Deadline(time.time() + seconds, because, seconds)

    def tell_outlets(self, context: Context, extra: dict[str, Any]) -> None:
        """
        Put something into the ``extra`` of the events of this task's outlet assets.

        :param context: the task's context
        :param extra: JSON-ready
        """
        from airflow.sdk import Asset

        for outlet in self.outlets or ():
            if isinstance(outlet, Asset):
                context["outlet_events"][outlet].extra.update(extra)


def seconds_of(value: timedelta | float) -> float:
    """
    Take a time given as seconds or as a timedelta.

    :param value: either of them
    """
    return value.total_seconds() if isinstance(value, timedelta) else float(value)


def check_choice(name: str, value: Any, choices: Sequence[str]) -> str | None:
    """
    Check an argument that is one of a few words.

    :param name: the argument's
    :param value: what was given
    :param choices: what may be given
    :return: what is wrong; None if nothing is
    """
    if value in choices:
        return None
    return f"{name} must be {' or '.join(map(repr, choices))}, not {value!r}"


def check_seconds(name: str, value: timedelta | float | None, least: float) -> str | None:
    """
    Check an argument that is a time.

    :param name: the argument's
    :param value: seconds or a timedelta; None is fine
    :param least: seconds
    :return: what is wrong; None if nothing is
    """
    if value is None:
        return None
    try:
        seconds = seconds_of(value)
    except (TypeError, ValueError):
        return f"{name} must be a number of seconds or a timedelta, not {value!r}"
    if isinstance(value, bool) or not math.isfinite(seconds) or seconds < least:
        return f"{name} must be at least {least:g} s, not {value!r}"
    return None


__all__ = ["MilvusOperator"]
