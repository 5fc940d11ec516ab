"""A client for the part of Airflow's public REST API that the demo uses."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote


class ApiError(RuntimeError):
    """Airflow refused a request."""

    def __init__(self, request: str, status: int, text: str) -> None:
        super().__init__(f"{request} was answered with HTTP {status}: {text[:500]}")
        self.status = status


class AirflowApi:
    """Airflow's REST API at one address.

    All methods raise :class:`ApiError` when Airflow refuses, and OSError when it cannot be reached or takes longer than
    ``timeout`` seconds.
    """

    def __init__(self, base_url: str, user: str, password: str, *, timeout: float = 30.0) -> None:
        import requests

        self.base_url = base_url
        self._login = {"username": user, "password": password}
        self._timeout = timeout
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy, no .netrc: the address is local

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Make one request; return the JSON of the answer, None if that is empty."""
        answer = self._session.request(method, self.base_url + path, json=body, timeout=self._timeout)
        if not answer.ok:
            raise ApiError(f"{method} {path}", answer.status_code, answer.text)
        return answer.json() if answer.content else None

    def _find(self, path: str) -> Any:
        """Return what is at a path; None if nothing is (yet)."""
        try:
            return self.call("GET", path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def log_in(self) -> None:
        """Exchange name and password for the token that later requests carry."""
        token = self.call("POST", "/auth/token", self._login)["access_token"]
        self._session.headers["Authorization"] = f"Bearer {token}"

    def is_up(self) -> bool:
        """Return whether the API answers yet."""
        try:
            self.call("GET", "/api/v2/version")
        except (OSError, ApiError):
            return False
        return True

    def warm_up(self) -> None:
        """Have Airflow build the API for tasks now; otherwise the first task would wait for it for some seconds."""
        self.call("GET", "/execution/health")

    def dag(self, dag_id: str) -> dict[str, Any] | None:
        """Return a DAG as the dag-processor stored it; None if it has not (yet)."""
        found: dict[str, Any] | None = self._find(_dag(dag_id))
        return found

    def import_errors(self) -> list[dict[str, Any]]:
        """Return the DAG files that could not be imported, with ``filename`` and ``stack_trace``."""
        found: list[dict[str, Any]] = self.call("GET", "/api/v2/importErrors")["import_errors"]
        return found

    def unpause(self, dag_id: str) -> None:
        """Let a DAG's runs start."""
        self.call("PATCH", _dag(dag_id), {"is_paused": False})

    def trigger(self, dag_id: str, conf: dict[str, Any]) -> str:
        """Run a DAG with values for its params, and return the run's id."""
        body = {"logical_date": None, "conf": conf}
        return str(self.call("POST", f"{_dag(dag_id)}/dagRuns", body)["dag_run_id"])

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """Return a run: ``state``, ``start_date``, ``end_date`` and more."""
        found: dict[str, Any] = self.call("GET", _run(dag_id, run_id))
        return found

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return the tasks of a run: ``task_id``, ``state``, ``start_date``, ``duration``, ``try_number`` and so on."""
        found: list[dict[str, Any]] = self.call("GET", f"{_run(dag_id, run_id)}/taskInstances")["task_instances"]
        return found

    def xcom(self, dag_id: str, run_id: str, task_id: str) -> Any:
        """Return what a task returned; None if it returned nothing."""
        found = self._find(f"{_run(dag_id, run_id)}/taskInstances/{quote(task_id)}/xcomEntries/return_value")
        return found and found["value"]

    def log(self, dag_id: str, run_id: str, task_id: str, attempt: int) -> list[str]:
        """Return the lines that a task logged in one of its attempts."""
        content = self.call("GET", f"{_run(dag_id, run_id)}/taskInstances/{quote(task_id)}/logs/{attempt}")["content"]
        return [line if isinstance(line, str) else str(line.get("event", line)) for line in content]

    def put_connection(self, connection: dict[str, Any]) -> None:
        """Store a connection, or update the one that has its ``connection_id``."""
        try:
            self.call("POST", "/api/v2/connections", connection)
        except ApiError as error:
            if error.status != 409:
                raise
            self.call("PATCH", f"/api/v2/connections/{quote(connection['connection_id'])}", connection)


def _dag(dag_id: str) -> str:
    return f"/api/v2/dags/{quote(dag_id)}"


def _run(dag_id: str, run_id: str) -> str:
    return f"{_dag(dag_id)}/dagRuns/{quote(run_id)}"
