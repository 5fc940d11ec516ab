"""Base class of all sensors."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from airflow.sdk import BaseSensorOperator, PokeReturnValue

from airflow_vectordb import rest, waiting
from airflow_vectordb._compat import (
    AirflowException,
    AirflowSensorTimeout,
    AirflowSkipException,
    default_deferrable,
    is_run_by_airflow,
)
from airflow_vectordb.deferral import ResumeState, describe_poll, poll_once, wait_for
from airflow_vectordb.hooks.connection_fields import DEFAULT_CONN_ID
from airflow_vectordb.mixins import MilvusTaskMixin
from airflow_vectordb.validation import (
    DEFAULT_POLL_INTERVAL,
    SHORTEST_POLL_INTERVAL,
    check_seconds,
    seconds_of,
    take_times,
)

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_vectordb.hooks.milvus import MilvusHook
    from airflow_vectordb.rest.errors import MilvusError, WaitTimeoutError
    from airflow_vectordb.waiting import Condition

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

    def __init__(
        self,
        *,
        milvus_conn_id: str = DEFAULT_CONN_ID,
        database: str | None = None,
        deferrable: bool | None = None,
        poke_interval: timedelta | float = DEFAULT_POLL_INTERVAL,
        **kwargs: Any,
    ) -> None:
        problems = take_times(kwargs, "timeout", "max_wait", "execution_timeout")
        if wrong := check_seconds("poke_interval", poke_interval, SHORTEST_POLL_INTERVAL):
            problems += wrong
            poke_interval = DEFAULT_POLL_INTERVAL
        super().__init__(poke_interval=timedelta(seconds=seconds_of(poke_interval)), **kwargs)
        self._problems = problems
        self.milvus_conn_id = milvus_conn_id
        self.database = database
        self.deferrable = default_deferrable() if deferrable is None else deferrable
        # Airflow's base class has converted it to seconds.
        self.poll_interval = self.poke_interval
        # The error to raise if the latest poll turns out to be the last one.
        self._timeout_error: WaitTimeoutError | None = None
        # What the latest poll has logged.
        self._logged = ""

    @abstractmethod
    def condition(self) -> Condition:
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
        if not _knows_first_poll((context or {}).get("ti"), context):
            # Called by a unit test of a DAG. Airflow's base class asks the task instance for the time of its first
            # poll: now.
            ti = SimpleNamespace(try_number=1, get_first_reschedule_date=lambda context: None)
            context = cast("Context", {**(context if isinstance(context, Mapping) else {}), "ti": ti})
        try:
            return super().execute(context)
        except (AirflowSensorTimeout, AirflowSkipException) as error:
            late = self._timeout_error and self.airflow_error(self._timeout_error)
            if isinstance(error, AirflowSkipException) and (why := error.__cause__ or late):
                raise _skip(why) from error
            if late is None:
                raise
            raise late from error

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
        ti: Any = (context or {}).get("ti")
        earlier = self.reschedule and ti is not None and ti.get_first_reschedule_date(context) is not None
        target = self.describe_target()
        with (
            self.open_hook(patient=earlier or self._timeout_error is not None) as hook,
            self.error_context(hook, target),
        ):
            condition = self.condition()
            # The next poke is the retry.
            memory = waiting.Memory()
            found = poll_once(hook, condition, server_confirmed=earlier, memory=memory)
            if isinstance(found, waiting.Done):
                self._log_result(found.result)
                return PokeReturnValue(is_done=True, xcom_value=found.result)
            level, text = describe_poll(hook, condition, found)
            if self.reschedule or text != self._logged:  # rescheduled, each poke is a process of its own
                self.log.log(level, "%s", text)
            self._logged = text
            deadline = waiting.Deadline(0.0, "timeout", float(self.timeout))
            seen = text if isinstance(found, waiting.Pending) else f"the last error was: {found}"
            self._timeout_error = waiting.not_done(condition, deadline, seen, memory).with_context(
                where=self.error_location(hook, target)
            )
        return False

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


def _knows_first_poll(ti: Any, context: Context) -> bool:
    """Return whether a task instance knows the time of the first poll; a unit test's mock may not."""
    if is_run_by_airflow():
        return True  # which asks for it itself
    return hasattr(ti, "get_first_reschedule_date") and isinstance(
        ti.get_first_reschedule_date(context), datetime | None
    )


def _skip(why: BaseException) -> AirflowSkipException:
    """Skip the sensor, with the reason, which the log would not show otherwise."""
    return AirflowSkipException(f"{why}; skipped instead of failed")


__all__ = ["MilvusSensor"]
