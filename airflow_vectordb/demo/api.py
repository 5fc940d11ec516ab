"""The part of Airflow's public REST API that the demo uses, as any program beside Airflow would."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import quote

__all__ = ["AirflowApi", "ApiError"]


class ApiError(RuntimeError):
    """Airflow refused a request.

    :param what: the request, as "GET /api/v2/…".
    :param status: HTTP status.
    :param text: the answer's body.
    """

    def __init__(self, what: str, status: int, text: str) -> None:
        super().__init__(f"{what} was answered with HTTP {status}: {text[:500]}")
        self.status = status


class AirflowApi:
    """Airflow's REST API at one address.

    All methods raise :class:`ApiError` when Airflow refuses, and OSError when it cannot be reached or takes longer than
    ``timeout``.

    :param base_url: ``http://127.0.0.1:8080``.
    :param user: name to log in with.
    :param password: to log in with.
    :param timeout: seconds for one request.
    """

    def __init__(self, base_url: str, user: str, password: str, *, timeout: float = 30.0) -> None:
        self.base_url = base_url
        self._login = {"username": user, "password": password}
        self._timeout = timeout
        self._token: str | None = None
        # Without the proxies that the environment may name: this address is on this machine.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Make one request.

        :param method: GET, POST or PATCH.
        :param path: from the root, such as ``/api/v2/dags``.
        :param body: sent as JSON, unless it is None.
        :returns: the answer's JSON; None for an empty answer.
        """
        headers = {"Accept": "application/json"}
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        url = self.base_url + path
        request = urllib.request.Request(url, data=data, headers=headers, method=method)  # noqa: S310 - an address of ours
        try:
            with self._opener.open(request, timeout=self._timeout) as answer:
                raw = answer.read()
        except urllib.error.HTTPError as error:
            with error:
                text = error.read().decode(errors="replace")
            raise ApiError(f"{method} {path}", error.code, text) from None
        return json.loads(raw) if raw else None

    def log_in(self) -> None:
        """Exchange name and password for the token that later requests carry."""
        self._token = self.call("POST", "/auth/token", self._login)["access_token"]

    def is_up(self) -> bool:
        """Whether the API answers at all yet."""
        try:
            self.call("GET", "/api/v2/version")
        except (OSError, ApiError):
            return False
        return True

    def warm_up(self) -> None:
        """Have the API that tasks report to built now; else the first task would wait for it, some seconds."""
        self.call("GET", "/execution/health")

    def dag(self, dag_id: str) -> dict[str, Any] | None:
        """A DAG as the dag-processor stored it; None if it has not (yet)."""
        try:
            found: dict[str, Any] = self.call("GET", f"/api/v2/dags/{quote(dag_id)}")
        except ApiError as error:
            if error.status == 404:
                return None
            raise
        return found

    def import_errors(self) -> list[dict[str, Any]]:
        """DAG files that could not be imported, with ``filename`` and ``stack_trace``."""
        found: list[dict[str, Any]] = self.call("GET", "/api/v2/importErrors")["import_errors"]
        return found

    def unpause(self, dag_id: str) -> None:
        """Let a DAG's runs start."""
        self.call("PATCH", f"/api/v2/dags/{quote(dag_id)}", {"is_paused": False})

    def trigger(self, dag_id: str, conf: dict[str, Any]) -> str:
        """Ask for a run of a DAG.

        :param dag_id: which.
        :param conf: values for the DAG's params.
        :returns: the run's id.
        """
        run: dict[str, Any] = self.call(
            "POST", f"/api/v2/dags/{quote(dag_id)}/dagRuns", {"logical_date": None, "conf": conf}
        )
        return str(run["dag_run_id"])

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """One run: ``state``, ``start_date``, ``end_date`` and more."""
        found: dict[str, Any] = self.call("GET", f"/api/v2/dags/{quote(dag_id)}/dagRuns/{quote(run_id)}")
        return found

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """The tasks of a run: ``task_id``, ``state``, ``start_date``, ``end_date``, ``duration``, ``try_number``, …"""
        path = f"/api/v2/dags/{quote(dag_id)}/dagRuns/{quote(run_id)}/taskInstances"
        found: list[dict[str, Any]] = self.call("GET", path)["task_instances"]
        return found

    def xcom(self, dag_id: str, run_id: str, task_id: str) -> Any:
        """What a task returned; None if it returned nothing."""
        path = f"/api/v2/dags/{quote(dag_id)}/dagRuns/{quote(run_id)}/taskInstances/{quote(task_id)}"
        try:
            return self.call("GET", f"{path}/xcomEntries/return_value")["value"]
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def log(self, dag_id: str, run_id: str, task_id: str, attempt: int) -> list[str]:
        """The lines that a task logged in one of its attempts."""
        path = f"/api/v2/dags/{quote(dag_id)}/dagRuns/{quote(run_id)}/taskInstances/{quote(task_id)}/logs/{attempt}"
        content = self.call("GET", path)["content"]
        return [line if isinstance(line, str) else str(line.get("event", line)) for line in content]

    def put_connection(self, connection: dict[str, Any]) -> None:
        """Store a connection, or bring the one that has its ``connection_id`` up to date."""
        try:
            self.call("POST", "/api/v2/connections", connection)
        except ApiError as error:
            if error.status != 409:
                raise
            self.call("PATCH", f"/api/v2/connections/{quote(connection['connection_id'])}", connection)
