"""
The exceptions of the hook and of tasks: a Milvus error and an Airflow exception in one.

Airflow uses the class (``AirflowFailException``, …) to decide whether to retry a task. Callbacks and, on Airflow 3.3, a
``retry_policy`` need the cause: so each exception is also an instance of a class in ``airflow_vectordb.rest.errors``,
with ``code``, ``message``, ``http_status``, ``transient`` and ``retry_after``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, cast

from airflow_vectordb._compat import AirflowException, AirflowFailException
from airflow_vectordb.rest.errors import MilvusError, rebuild


class _Failure:
    """Mixed into the classes that :func:`_both` makes."""

    task_id: str | None = None
    _kinds: tuple[type[MilvusError], type[AirflowException]]

    def __str__(self) -> str:
        return cast("MilvusError", self).text(self.task_id)

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (*self._kinds, dict(self.__dict__)))

    def serialize(self) -> tuple[str, tuple[str], dict[str, Any]]:
        """Let Airflow serialize it as the Airflow exception that it is."""
        kind = self._kinds[1]
        return f"{kind.__module__}.{kind.__name__}", (str(self),), {}


@cache
def _both(kinds: tuple[type[MilvusError], type[AirflowException]]) -> type[Any]:
    kind = kinds[0]
    # Tracebacks and logs show the name of the Milvus error.
    space = {name: getattr(kind, name) for name in ("__module__", "__qualname__", "__doc__")}
    return type(kind.__name__, (_Failure, *kinds), {**space, "_kinds": kinds})


def _rebuild(kind: type[MilvusError], exception: type[AirflowException], state: dict[str, Any]) -> MilvusError:
    made: MilvusError = rebuild(_both((kind, exception)), state)
    return made


def as_airflow_exception(
    error: MilvusError, exception: type[AirflowException] | None = None, task_id: str | None = None
) -> MilvusError:
    """
    Return an error that is one of Airflow's exceptions, too; raise it ``from error.__cause__`` in place of ``error``.

    :param exception: Airflow's class; None: one after which Airflow retries the task if the error is transient
    :param task_id: of the task that failed, for the text
    :return: an instance of both classes, picklable, with the attributes and the traceback of ``error``
    """
    kind = error._kinds[0] if isinstance(error, _Failure) else type(error)
    state = {**error.__dict__, **({"task_id": task_id} if task_id else {})}
    by_default = AirflowException if error.transient else AirflowFailException
    made = _rebuild(kind, exception or by_default, state)
    # A second traceback, of the original, would add nothing.
    return made.with_traceback(error.__traceback__)


@contextmanager
def translate_errors() -> Iterator[None]:
    """Raise Milvus's errors as Airflow's exceptions, too."""
    try:
        yield
    except MilvusError as error:
        raise as_airflow_exception(error) from error.__cause__


__all__ = ["as_airflow_exception", "translate_errors"]
