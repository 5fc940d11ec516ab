"""What tests of waiting take from conftest does what it says: kills, restarts, an engine that ends with the tests."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from airflow_vectordb.local import LocalMilvus
from tests.support.engine_api import Api
from tests.support.milvus_server import HOME_VARIABLE, MilvusServer


def test_a_front_comes_back_at_its_uri(own_front: LocalMilvus, milvus: MilvusServer) -> None:
    uri, first = own_front.uri, own_front.pid
    for _ in range(2):
        own_front.kill()
        own_front.start()
        assert own_front.uri == uri
    assert own_front.pid != first
    client = Api(uri, milvus.token)
    with client.session:
        assert "default" in client.ok("databases/list")


def test_nobody_outside_of_this_machine_reaches_it(milvus: MilvusServer) -> None:
    said = (milvus.directory / "logs" / "output").read_text().splitlines()[0]
    if said != "a network of its own":
        pytest.skip(said)
    assert os.readlink(f"/proc/{milvus.pid}/ns/net") != os.readlink("/proc/self/ns/net")
    interfaces = Path(f"/proc/{milvus.pid}/net/dev").read_text().splitlines()[2:]
    assert [line.split(":")[0].strip() for line in interfaces] == ["lo"]


def test_that_the_wheel_cannot_be_had_is_said_aloud(tmp_path: Path) -> None:
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:1/simple", "PIP_RETRIES": "0", HOME_VARIABLE: str(tmp_path)}
    test = f"{__file__}::test_a_front_comes_back_at_its_uri"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-o", "addopts=", test],
        env={**os.environ, **nowhere},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    heading, why, last = [line for line in done.stdout.splitlines() if line][-3:]
    assert "NO REAL MILVUS: NOTHING WAS TESTED AGAINST ONE" in heading
    assert why.startswith("milvus==2.3.5 cannot be installed: ")
    assert "1 skipped" in last


_STARTS = """
import sys
sys.path.insert(0, {root!r})
from tests.support.milvus_server import MilvusServer, installed
server = MilvusServer(installed())
server.wait()
if {frozen}:
    server.signal(19)
print(server.pid, server.process.pid, server.directory, flush=True)
sys.stdin.read()
"""


@pytest.mark.usefixtures("milvus")
@pytest.mark.parametrize(("number", "frozen"), [(15, False), (9, True)], ids=["SIGTERM", "SIGKILL, frozen"])
def test_it_ends_with_the_process_that_started_it(number: int, frozen: bool) -> None:
    code = _STARTS.format(root=str(Path(__file__).parents[2]), frozen=frozen)
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as starter:
        assert starter.stdout is not None
        server, keeper, directory = starter.stdout.readline().split()
        assert Path("/proc", server).exists()
        starter.send_signal(number)
        starter.wait(10)
    deadline = time.monotonic() + 15
    while any(_is_alive(pid) for pid in (server, keeper)) or Path(directory).exists():
        assert time.monotonic() < deadline, (server, keeper, directory)
        time.sleep(0.1)


def _is_alive(pid: str) -> bool:
    try:
        return Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
