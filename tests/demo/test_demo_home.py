"""The directory of a run, Airflow's settings in it, and the environment of what runs there."""

from __future__ import annotations

import json
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_vectordb.demo import home as home_module
from airflow_vectordb.demo.airflow import airflow_command, clean_environment, free_port, secrets_of, settings
from airflow_vectordb.demo.home import Home, HomeError, examples_directory


class TestHome:
    def test_a_fresh_one_is_empty_and_nothing_else_is_removed(self, tmp_path: Path) -> None:
        with Home(tmp_path / "run", fresh=True) as home:
            (home.airflow / "old").write_text("")
            (home.milvus / "old").write_text("")
            (home.path / "notes").write_text("")
        with Home(tmp_path / "run", fresh=True) as home:
            assert list(home.airflow.iterdir()) == list(home.milvus.iterdir()) == []
            assert (home.path / "notes").exists()

    def test_a_kept_one_keeps(self, tmp_path: Path) -> None:
        with Home(tmp_path / "run", fresh=False) as home:
            (home.airflow / "old").write_text("")
        with Home(tmp_path / "run", fresh=False) as home:
            assert (home.airflow / "old").exists()

    @pytest.mark.parametrize("fresh", [True, False])
    def test_a_directory_of_another_program_is_refused_and_untouched(self, tmp_path: Path, fresh: bool) -> None:
        (tmp_path / "airflow").mkdir()
        (tmp_path / "airflow" / "airflow.cfg").write_text("mine")
        with pytest.raises(HomeError, match="holds something else"), Home(tmp_path, fresh=fresh):
            pytest.fail("it was taken")
        assert [path.name for path in tmp_path.rglob("*")] == ["airflow", "airflow.cfg"]

    def test_a_file_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(HomeError, match="holds something else"), Home(tmp_path / "file", fresh=True):
            pytest.fail("it was taken")

    def test_a_place_that_cannot_be_written_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(HomeError, match="cannot be used"), Home(tmp_path / "file" / "run", fresh=True):
            pytest.fail("it was taken")

    def test_one_run_at_a_time(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(home_module, "LOCK_PATIENCE", 0.3)
        with Home(tmp_path / "run", fresh=True) as home:
            (home.airflow / "in use").write_text("")
            with pytest.raises(HomeError, match="another run is using"), Home(tmp_path / "run", fresh=True):
                pytest.fail("it was taken twice")
            assert (home.airflow / "in use").exists()
        with Home(tmp_path / "run", fresh=True):
            pass

    def test_it_stays_locked_as_long_as_a_process_has_the_lock(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(home_module, "LOCK_PATIENCE", 0.3)
        with Home(tmp_path / "run", fresh=True) as home:
            holder = subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=(home.lock,))
        with pytest.raises(HomeError, match="another run is using"), Home(tmp_path / "run", fresh=True):
            pytest.fail("it was taken")
        holder.communicate()
        with Home(tmp_path / "run", fresh=True):
            pass


class TestExamples:
    def test_in_a_checkout(self) -> None:
        assert (examples_directory() / "digits_search.py").exists()

    def test_in_an_installed_package(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        package = tmp_path / "airflow_vectordb"
        (package / "demo").mkdir(parents=True)
        monkeypatch.setattr(home_module, "__file__", str(package / "demo" / "home.py"))
        with pytest.raises(HomeError, match="not whole"):
            examples_directory()
        (package / "dags_examples").mkdir()
        (package / "dags_examples" / "digits_search.py").write_text("")
        assert examples_directory() == package / "dags_examples"


@pytest.mark.slow
class TestSettings:
    def test_as_airflow_reads_them(self, tmp_path: Path) -> None:
        # With what a path may have that a configuration file, a URL or a shell would take for its own.
        with Home(tmp_path / "50% of #my stuff", fresh=True) as home:
            secret = secrets_of(home)
            env = clean_environment(home) | settings(home, secret, Path("/some/da%gs"), 1234, "a name")
            asked = """if True:
                from airflow.configuration import conf
                for key in ("core dags_folder", "database sql_alchemy_conn", "core fernet_key", "api host"):
                    print(conf.get(*key.split()))
            """
            done = subprocess.run(
                [sys.executable, "-I", "-c", asked],
                env=env,
                cwd=home.user,
                capture_output=True,
                text=True,
                check=True,
            )
            assert done.stdout.splitlines() == [
                "/some/da%gs",
                f"sqlite:///{home.airflow}/airflow.db",
                secret["fernet_key"],
                "127.0.0.1",
            ]

    def test_secrets_are_kept_and_nobody_elses(self, tmp_path: Path) -> None:
        with Home(tmp_path / "run", fresh=False) as home:
            first = secrets_of(home)
            settings(home, first, tmp_path, 1234, "a name")
            assert secrets_of(home) == first
            for name in ("secrets.json", "passwords.json"):
                assert stat.S_IMODE((home.airflow / name).stat().st_mode) == 0o600
            assert json.loads((home.airflow / "passwords.json").read_text()) == {"admin": first["password"]}
        with Home(tmp_path / "run", fresh=True) as home:
            assert secrets_of(home)["milvus_password"] != first["milvus_password"]

    def test_the_callers_environment_stays_outside(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in (
            "AIRFLOW__CORE__EXECUTOR",
            "AIRFLOW_CONN_MILVUS_DEFAULT",
            "AIRFLOW_CONFIG",
            "PYTHONPATH",
            "PYTHONDONTWRITEBYTECODE",
            "VIRTUAL_ENV",
            "http_proxy",
            "OTEL_EXPORTER_OTLP_ENDPOINT",
        ):
            monkeypatch.setenv(name, "elsewhere")
        monkeypatch.setenv("LC_TIME", "C")
        with Home(tmp_path / "run", fresh=True) as home:
            env = clean_environment(home)
        assert "elsewhere" not in env.values()
        assert env["LC_TIME"] == "C"
        assert (env["HOME"], env["AIRFLOW_HOME"]) == (str(home.user), str(home.airflow))

    def test_the_working_directory_is_not_imported_from(self, tmp_path: Path) -> None:
        (tmp_path / "airflow.py").write_text("raise SystemExit('the wrong one')")
        with Home(tmp_path / "run", fresh=True) as home:
            done = subprocess.run(
                airflow_command("version"), env=clean_environment(home), cwd=tmp_path, capture_output=True, text=True
            )
        assert done.returncode == 0, done.stderr


class TestPorts:
    def test_the_preferred_one_if_it_is_free(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            other = free_port(port)
            assert other != port
        assert free_port(port) == port
