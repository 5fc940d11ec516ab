"""A separate Airflow for a run, on the loopback interface only.

Its components get a clean environment, without the caller's (``AIRFLOW__…``, ``PYTHONPATH``, proxies, another home).
``airflow standalone`` is not used: it takes 50% longer to start, serves logs on all interfaces at fixed ports, and
keeps running when one of its components has ended.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import sys
from pathlib import Path

from airflow_vectordb.demo.api import AirflowApi
from airflow_vectordb.demo.console import step
from airflow_vectordb.demo.home import Home, write_secret
from airflow_vectordb.demo.processes import Child, Processes

USER = "admin"

# The rest of the caller's environment is not passed on.
KEPT = ("LANG", "LANGUAGE", "TZ", "TZDIR", "TMPDIR", "TERM", "USER", "LOGNAME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


class LocalAirflow:
    """Airflow's components, each a process.

    :param port: of the API server, if it is free.
    """

    def __init__(
        self, processes: Processes, *, dags: Path, name: str, port: int = 0, python: str = sys.executable
    ) -> None:
        self.processes = processes
        self.home = processes.home
        self.python = python
        self.secrets = secrets_of(self.home)
        port = free_port(port)
        self.api = AirflowApi(f"http://127.0.0.1:{port}", USER, self.secrets["password"])
        self.env = clean_environment(self.home, python) | settings(self.home, self.secrets, dags, port, name)

    def start(self, component: str) -> Child:
        """Start one of ``api-server``, ``dag-processor``, ``scheduler`` and ``triggerer``."""
        step(f"starting Airflow's {component}")
        command = airflow_command(component, python=self.python)
        if component in ("scheduler", "triggerer"):
            # Logs are read from files. A log server would listen on all interfaces.
            command.append("--skip-serve-logs")
        return self.processes.start(component, command, env=self.env)

    def start_serving(self) -> None:
        """Create or upgrade the database, start all but the triggerer, and log in."""
        step("preparing Airflow's database")
        migrate = airflow_command("db", "migrate", python=self.python)
        self.processes.finish(self.processes.start("db migrate", migrate, env=self.env))
        # One after the other: each takes a processor for some seconds to come up, and the API server, which all depend
        # on, takes longest. Started together they would only keep it from getting there.
        server = self.start("api-server")
        self.start("dag-processor")
        self.processes.wait_for(self.api.is_up, "Airflow's API server", server.log)
        self.api.log_in()
        self.start("scheduler")
        # Have Airflow build the API for tasks now; otherwise the first task would wait for it for some seconds.
        self.api.call("GET", "/execution/health")


def secrets_of(home: Home) -> dict[str, str]:
    """Return a home's secrets, readable by its owner only; create them if there are none."""
    path = home.airflow / "secrets.json"
    if not path.exists():
        sizes = {"api_secret": 48, "jwt_secret": 64, "password": 9, "milvus_password": 24}
        made = {name: secrets.token_urlsafe(size) for name, size in sizes.items()}
        made["fernet_key"] = secrets.token_urlsafe(32) + "="  # padded base64
        write_secret(path, json.dumps(made))
    kept: dict[str, str] = json.loads(path.read_text())
    return kept


def free_port(preferred: int = 0) -> int:
    """Return a port that nothing listens on at 127.0.0.1: the preferred one if it is free."""
    with socket.socket() as probe:
        # Like servers, treat a port with connections in TIME_WAIT as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", preferred))
            probe.listen()
        except OSError:
            if preferred == 0:
                raise
            return free_port()
        return int(probe.getsockname()[1])


def clean_environment(home: Home, python: str = sys.executable) -> dict[str, str]:
    """Return the environment for everything that a run starts.

    :param home: programs that write to the user's home write there.
    """
    kept = {name: value for name, value in os.environ.items() if name in KEPT or name.startswith("LC_")}
    return {
        **kept,
        "PATH": os.pathsep.join((str(Path(python).parent), os.environ.get("PATH", os.defpath))),
        "HOME": str(home.user),
        "AIRFLOW_HOME": str(home.airflow),
        "PYTHONUNBUFFERED": "1",
    }


def airflow_command(*arguments: str, python: str = sys.executable) -> list[str]:
    """Return the command line that runs Airflow."""
    # -I: ignore the working directory and the user's packages.
    return [python, "-I", "-m", "airflow", *arguments]


def settings(home: Home, secret: dict[str, str], dags: Path, port: int, name: str) -> dict[str, str]:
    """Write the login, and return Airflow's settings as environment variables."""
    passwords = home.airflow / "passwords.json"
    write_secret(passwords, json.dumps({USER: secret["password"]}))
    url = f"http://127.0.0.1:{port}"
    return {
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        # A worker stays busy for a moment after its task; the next task should not wait for it.
        "AIRFLOW__CORE__PARALLELISM": "6",
        "AIRFLOW__CORE__AUTH_MANAGER": "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        "AIRFLOW__CORE__FERNET_KEY": secret["fernet_key"],
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        # Airflow's default asks the name service, which may be slow or missing.
        "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home.airflow / 'airflow.db'}",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home.airflow / "logs"),
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API__SECRET_KEY": secret["api_secret"],
        "AIRFLOW__API__INSTANCE_NAME": name,
        "AIRFLOW__API_AUTH__JWT_SECRET": secret["jwt_secret"],
        # Waiting tasks defer, and free their workers.
        "AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE": "True",
        # Only one run at a time: poll often, so that tasks start promptly.
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "30",
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }
