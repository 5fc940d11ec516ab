"""A separate Airflow for a run, on the loopback interface only.

Its settings are written to an ``airflow.cfg``, and its components get a clean environment, without the caller's
(``AIRFLOW__…``, ``PYTHONPATH``, proxies, another home). ``airflow standalone`` is not used: it takes 50% longer to
start, serves logs on all interfaces at fixed ports, and keeps running when one of its components has ended.
"""

from __future__ import annotations

import base64
import configparser
import io
import json
import os
import secrets
import socket
import sys
from pathlib import Path

from airflow_vectordb.demo.api import AirflowApi
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
        self.port = free_port(port)
        self.api = AirflowApi(f"http://127.0.0.1:{self.port}", USER, self.secrets["password"], timeout=60.0)
        self.env = clean_environment(self.home, python)
        write_settings(self.home, self.secrets, dags=dags, port=self.port, name=name)

    def start(self, component: str) -> Child:
        """Start one of ``api-server``, ``dag-processor``, ``scheduler`` and ``triggerer``."""
        command = airflow_command(component, python=self.python)
        if component in ("scheduler", "triggerer"):
            # Logs are read from files. A log server would listen on all interfaces.
            command.append("--skip-serve-logs")
        return self.processes.start(component, command, env=self.env)

    def wait_until_up(self) -> None:
        """Wait until the API server answers, and log in."""
        self.processes.wait_for(self.api.is_up, "Airflow's API server", self.home.logs / "api-server.log")
        self.api.log_in()

    def migrate_database(self) -> None:
        """Create the database, or upgrade an existing one."""
        command = airflow_command("db", "migrate", python=self.python)
        self.processes.finish(self.processes.start("db migrate", command, env=self.env))


def secrets_of(home: Home) -> dict[str, str]:
    """Return a home's secrets, readable by its owner only; create them if there are none."""
    path = home.airflow / "secrets.json"
    if not path.exists():
        made = {
            "fernet_key": base64.urlsafe_b64encode(os.urandom(32)).decode(),
            "api_secret": secrets.token_urlsafe(48),
            "jwt_secret": secrets.token_urlsafe(64),
            "password": secrets.token_urlsafe(9),
            "milvus_password": secrets.token_urlsafe(24),
        }
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


def write_settings(home: Home, secret: dict[str, str], *, dags: Path, port: int, name: str) -> None:
    """Write ``airflow.cfg`` and the login."""
    url = f"http://127.0.0.1:{port}"
    passwords = home.airflow / "passwords.json"
    settings = {
        "core": {
            "dags_folder": str(dags),
            "load_examples": "False",
            "executor": "LocalExecutor",
            # A worker stays busy for a moment after its task; the next task should not wait for it.
            "parallelism": "6",
            "auth_manager": "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager",
            "simple_auth_manager_users": f"{USER}:admin",
            "simple_auth_manager_passwords_file": str(passwords),
            "fernet_key": secret["fernet_key"],
            "execution_api_server_url": f"{url}/execution/",
            # Airflow's default asks the name service, which may be slow or missing.
            "hostname_callable": "socket.gethostname",
            "test_connection": "Enabled",
        },
        "database": {"sql_alchemy_conn": f"sqlite:///{home.airflow / 'airflow.db'}"},
        "logging": {"base_log_folder": str(home.airflow / "logs")},
        "api": {
            "host": "127.0.0.1",
            "port": str(port),
            "base_url": url,
            "workers": "1",
            "secret_key": secret["api_secret"],
            "instance_name": name,
        },
        "api_auth": {"jwt_secret": secret["jwt_secret"]},
        # Waiting tasks defer, and free their workers.
        "operators": {"default_deferrable": "True"},
        # Only one run at a time: poll often, so that tasks start promptly.
        "scheduler": {"scheduler_idle_sleep_time": "0.2"},
        "workers": {"min_heartbeat_interval": "1"},
        "dag_processor": {"refresh_interval": "30", "parsing_processes": "1"},
        "usage_data_collection": {"enabled": "False"},
    }
    parser = configparser.RawConfigParser()
    # A % in a path would start an interpolation.
    parser.read_dict({part: {k: v.replace("%", "%%") for k, v in values.items()} for part, values in settings.items()})
    text = io.StringIO()
    parser.write(text)
    write_secret(home.airflow / "airflow.cfg", text.getvalue())
    write_secret(passwords, json.dumps({USER: secret["password"]}))
