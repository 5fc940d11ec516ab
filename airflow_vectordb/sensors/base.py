"""Base class of all sensors."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from airflow.sdk import BaseSensorOperator, PokeReturnValue

from airflow_vectordb import rest, validation, waiting
from airflow_vectordb._compat import (
    AirflowException,
    AirflowRescheduleException,
    AirflowSensorTimeout,
    AirflowSkipException,
    default_deferrable,
    is_run_by_airflow,
)
from airflow_vectordb.deferral import ResumeState, log_poll, wait_for
from airflow_vectordb.hooks.connection_fields import DEFAULT_CONN_ID
from airflow_vectordb.mixins import MilvusTaskMixin

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_vectordb.hooks.milvus import MilvusHook
    from airflow_vectordb.rest.errors import MilvusError
    from airflow_vectordb.retry_state import RetryState

#: Advice for a sensor that timed out.
NO_RETRY = "Clear the task to wait again. Airflow does not retry sensors that timed out; a longer timeout may help."


class MilvusSensor(MilvusTaskMixin, BaseSensorOperator):
    """
    Base of the sensors for Milvus and Zilliz Cloud: waits for a condition of ``airflow_vectordb.waiting``.

    With ``mode="poke"`` (the default) it waits in its worker, with ``mode="reschedule"`` it is restarted for each poll,
    and with ``deferrable`` it waits in the triggerer. In a worker and in the triggerer the first polls are closer
    together than ``poke_interval``. Transient errors (no answer, a rate limit, a server that is starting) do not end
    the wait.

    :param milvus_conn_id: id of an Airflow connection of type ``milvus``. Templated.
    :param database: the database, which must exist; None: the connection's (its schema field). Templated.
    :param deferrable: whether to wait in the triggerer, whatever the ``mode``; None: Airflow's
        ``operators.default_deferrable``
    :param poke_interval: the longest pause between two polls, in seconds or as a timedelta; default 30
    :param timeout: for the wait, in seconds or as a timedelta; default Airflow's ``sensors.default_timeout``, a week
    :raises AirflowSensorTimeout: if the condition is not met in time
    :raises AirflowFailException: for permanent errors: a build that failed, wrong credentials, …
    :raises ValueError: when the DAG is parsed, for an argument that can never be right
    """

    template_fields: Sequence[str] = ("milvus_conn_id", "database")
    # Of sensors that have it: rows that were seen count, even if later polls see fewer.
    min_rows: int | str | None = None

    def __init__(
        self,
        *,
        milvus_conn_id: str = DEFAULT_CONN_ID,
        database: str | None = None,
        deferrable: bool | None = None,
        poke_interval: timedelta | float = validation.DEFAULT_POLL_INTERVAL,
        **kwargs: Any,
    ) -> None:
        problems = validation.take_times(kwargs, "timeout", "max_wait", "execution_timeout")
        if wrong := validation.check_interval("poke_interval", poke_interval):
            problems += wrong
            poke_interval = validation.DEFAULT_POLL_INTERVAL
        super().__init__(poke_interval=timedelta(seconds=validation.seconds_of(poke_interval)), **kwargs)
        self._problems = problems
        self.milvus_conn_id = milvus_conn_id
        self.database = database
        self.deferrable = default_deferrable() if deferrable is None else deferrable
        self.poll_interval = self.poke_interval
        # The wait whose polls Airflow's base class asks for, and the error to raise if the latest was the last one.
        self._wait: waiting.Wait | None = None
        self._timeout_error: MilvusError | None = None

    @abstractmethod
    def condition(self) -> waiting.Condition:
        """Return the condition, or raise InvalidParametersError with all problems."""

    @abstractmethod
    def found(self, result: Any) -> Iterable[str]:
        """Return lines for the log that describe the result."""

    def execute(self, context: Context) -> Any:
        """Wait."""
        if self.deferrable or not (self.reschedule or self.exponential_backoff):
            try:
                return self._run(context, ResumeState())
            except AirflowException as error:
                if self.soft_fail or self.never_fail:
                    raise _skip(error) from error
                raise
        if not is_run_by_airflow():
            # By a unit test of a DAG, whose task instance may not have what Airflow's base class asks it for.
            first = _first_poll(context)
            ti = SimpleNamespace(try_number=1, get_first_reschedule_date=lambda context: first)
            context = cast("Context", {**(context if isinstance(context, Mapping) else {}), "ti": ti})
        try:
            return super().execute(context)
        except AirflowRescheduleException:
            raise
        except Exception as error:
            self._forget(context)
            if not isinstance(error, AirflowSensorTimeout | AirflowSkipException):
                raise
            late = self._timeout_error and self.airflow_error(self._timeout_error)
            if isinstance(error, AirflowSkipException) and (why := error.__cause__ or late):
                raise _skip(why) from error
            if late is None:
                raise
            raise late from error
        finally:
            self._wait = self._timeout_error = None

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """
        Continue after a deferral; Airflow calls it.

        :raises AirflowSkipException: with ``soft_fail`` or ``never_fail``, with what went wrong
        """
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except AirflowSkipException as error:
            if error.__cause__ is None or isinstance(error.__cause__, AirflowSkipException):  # has the reason
                raise
            raise _skip(error.__cause__) from error

    def run_task(self, hook: MilvusHook, context: Context, state: ResumeState) -> Any:
        """Wait, in this process or in the triggerer."""
        result = wait_for(self, hook, state, "done", self.condition(), server_confirmed=False)
        self._log_result(result)
        return result

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """Poll once; return the result, for XCom, when it is done."""
        # Rescheduled: an earlier poll has read the connection and got an answer.
        earlier = self.reschedule and _first_poll(context) is not None
        with self.open_hook(patient=earlier or self._wait is not None) as hook:
            condition, memory = self.condition(), self._memory(context)
            # Each try has an id of its own: what an earlier one saw may be of a collection that was dropped since.
            try_id = str(getattr((context or {}).get("ti"), "id", None))
            given = {**waiting.conditions.serialize(condition), "try": try_id}
            if self._wait is None or self.reschedule:  # rescheduled, each poke is a process of its own
                kept = None
                with self._best_effort():
                    kept = memory.get() if memory and earlier else None
                if kept and kept["given"] == given:
                    condition = waiting.conditions.deserialize(kept["remaining"])
                self._wait = waiting.Wait(condition, time.time(), server_confirmed=earlier)
            wait = self._wait
            found = hook.drive(wait.poll(), retries=0)
            if isinstance(found, waiting.Done):
                self._forget(context)
                self._log_result(found.result)
                return PokeReturnValue(is_done=True, xcom_value=found.result)
            remaining = wait.memory.remaining
            if memory and remaining and remaining != condition:
                with self._best_effort():
                    memory.set({"given": given, "remaining": waiting.conditions.serialize(remaining)})
            log_poll(self, hook, wait, found)
            deadline = waiting.Deadline(0.0, "timeout", float(self.timeout))
            self._timeout_error = self.locate(hook, wait.not_done(deadline))
        return False

    def _memory(self, context: Context) -> RetryState | None:
        """Return what this sensor remembers from one poll to the next, if it is rescheduled and has to."""
        needed = self.reschedule and self.min_rows is not None
        return self.retry_state(context, "wait", ResumeState()) if needed else None

    def _forget(self, context: Context) -> None:
        with self._best_effort():
            if memory := self._memory(context):
                memory.delete()

    @contextmanager
    def _best_effort(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001 - Airflow cannot be asked: a poll sees the rows again
            self.log.warning("What earlier polls have seen could not be stored or read: %s", error)

    def _log_result(self, result: Any) -> None:
        with suppress(Exception):  # errors in logging must not fail a finished wait
            for line in self.found(result):
                self.log.info("%s", rest.text.sanitize_text(line, rest.text.LONGEST_LINE))

    def airflow_error(self, error: MilvusError, exception: type[AirflowException] | None = None) -> MilvusError:
        """Return an error that is also Airflow's: after a time-out, Airflow does not retry a sensor."""
        if isinstance(error, rest.errors.WaitTimeoutError):
            hint = NO_RETRY if error.hint == error.advice else f"{error.hint} {NO_RETRY}"
            error, exception = error.with_context(hint=hint), AirflowSensorTimeout
        return super().airflow_error(error, exception)


def _first_poll(context: Context) -> datetime | None:
    """Return when a rescheduled sensor polled first; None: it has not, as in most unit tests of DAGs."""
    ti: Any = (context or {}).get("ti")
    date = ti.get_first_reschedule_date(context) if hasattr(ti, "get_first_reschedule_date") else None
    return date if isinstance(date, datetime) else None


def _skip(why: BaseException) -> AirflowSkipException:
    """Skip the sensor, with the reason, which the log would not show otherwise."""
    return AirflowSkipException(f"{why}; skipped instead of failed")


__all__ = ["MilvusSensor"]
