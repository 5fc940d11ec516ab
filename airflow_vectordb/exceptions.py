"""
What a failing task raises: Milvus's error and Airflow's exception in one.

Airflow decides by ``AirflowFailException`` and its like whether a task is tried again. Callbacks and, on Airflow 3.3, a
``retry_policy`` decide by what happened: for them it is also an instance of its class in
``airflow_vectordb.rest.errors``, with ``code``, ``message``, ``http_status``, ``transient`` and ``retry_after``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from airflow_vectordb.rest.errors import MilvusError

if TYPE_CHECKING:
    from airflow_vectordb._compat import AirflowException


_MADE: dict[tuple[type[Any], type[Any]], type[Any]] = {}


class _Failure:
    """Mixed into the classes that :func:`_both` makes."""

    task_id: str
    _kinds: tuple[type[MilvusError], type[AirflowException]]

    def __str__(self) -> str:
        return f"task {self.task_id}: {super().__str__()}"

    def __reduce__(self) -> tuple[Any, ...]:
        return (_made, (*self._kinds, dict(self.__dict__)))

    def serialize(self) -> tuple[str, tuple[str], dict[str, Any]]:
        """Tell Airflow how to write it down: as the exception of its own that it is."""
        kind = self._kinds[1]
        return f"{kind.__module__}.{kind.__name__}", (str(self),), {}


def _both(kind: type[MilvusError], exception: type[AirflowException]) -> type[Any]:
    if (kind, exception) not in _MADE:
        # Tracebacks and logs name it as the error that it is.
        space = {name: getattr(kind, name) for name in ("__module__", "__qualname__", "__doc__")}
        _MADE[kind, exception] = type(
            kind.__name__, (_Failure, kind, exception), {**space, "_kinds": (kind, exception)}
        )
    return _MADE[kind, exception]


def _made(kind: type[MilvusError], exception: type[AirflowException], state: dict[str, Any]) -> AirflowException:
    made = _both(kind, exception)
    found: Any = made.__new__(made, state["message"])
    found.__dict__.update(state)
    return cast("AirflowException", found)


def failure(error: MilvusError, exception: type[AirflowException], task_id: str) -> AirflowException:
    """
    Make what a task raises for an error.

    :param error: what happened
    :param exception: Airflow's class for it
    :param task_id: goes in front of the message
    :return: an instance of both classes, picklable, whose attributes are the error's
    """
    if isinstance(error, _Failure):
        return cast("AirflowException", error)
    return _made(type(error), exception, {**error.__dict__, "task_id": task_id})


__all__ = ["failure"]
