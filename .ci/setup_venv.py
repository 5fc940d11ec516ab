"""Make ``.venv`` hold exactly what is pinned, or find that it does already.

Run by ``.ci/setup.sh`` with the interpreter that the environment is to have, and by ``make``'s targets through it.
It needs only the standard library of Python 3.10. ``setup_venv.py uv …`` runs uv as it does itself: with pip's
way to the packages, and a cache that can be written.

``.venv/complete`` is written last, with a fingerprint of all that went in. An environment without it, or with another
fingerprint, is never used as it is: it is made anew. So an interrupted run leaves nothing that looks whole.

:exit 0: ``.venv`` is up to date.
:exit 1: it could not be made; the reason has been printed.
:exit 3: with ``--check``: it is not up to date (and nothing was changed).
"""

from __future__ import annotations

import ast
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
COMPLETE = VENV / "complete"
CACHE = VENV / "uv-cache"
LOCK = VENV / "lock"
WHAT = ["--editable", ".[local,files]", "--group", "dev", "--group", "bench"]

# What a user's shell may have set for other projects, and what would bend this installation.
FOREIGN = (
    "PYTHONPATH",
    "PYTHONHOME",
    "PYTHONDONTWRITEBYTECODE",
    "VIRTUAL_ENV",
    "CONDA_PREFIX",
    "PIP_TARGET",
    "PIP_PREFIX",
)


def say(text: str) -> None:
    """Print one line of progress at once, also into a pipe."""
    print(f"setup: {text}", flush=True)


def fingerprint(version: str) -> str:
    """Everything that decides what the environment holds.

    :param version: of the interpreter that it is for, as "3.12".
    """
    digest = hashlib.sha256()
    for part in (ROOT / "pyproject.toml", ROOT / "constraints.txt", Path(__file__)):
        digest.update(part.read_bytes())
    # The checkout's path too: an environment does not survive being moved or copied to another one.
    digest.update(f"{version} {ROOT}".encode())
    return digest.hexdigest()


def up_to_date(version: str | None = None) -> bool:
    """Whether ``.venv`` is whole, was made from the files as they are now, and runs.

    :param version: the interpreter's that is asked for; None: whichever it was made with.
    """
    if not COMPLETE.is_file() or not PYTHON.exists():
        return False
    # The interpreter below may have been removed or replaced since: only running it tells.
    ask = [str(PYTHON), "-I", "-c", 'import sys; print("%d.%d" % sys.version_info[:2])']
    probe = subprocess.run(ask, capture_output=True, text=True, check=False)  # noqa: S603 - the environment's own interpreter
    if probe.returncode != 0 or (version is not None and probe.stdout.strip() != version):
        return False
    return COMPLETE.read_text().strip() == fingerprint(probe.stdout.strip())


def environment() -> dict[str, str]:
    """The caller's environment, with pip's settings made known to uv and a cache that can be written."""
    env = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    home = Path(env.get("HOME") or "/nonexistent")
    if not writable(Path(env.get("XDG_CACHE_HOME") or home / ".cache"), home):
        # Also for pip, which would only warn.
        env.setdefault("UV_CACHE_DIR", str(CACHE))
        env["PIP_NO_CACHE_DIR"] = "1"
    # uv reads neither pip's configuration nor its variables.
    settings = pip_settings(env)
    names = {"cert": "SSL_CERT_FILE", "index-url": "UV_DEFAULT_INDEX", "extra-index-url": "UV_INDEX"}
    for setting, name in names.items():
        if setting in settings:
            env.setdefault(name, settings[setting])
    env["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    return env


def writable(directory: Path, home: Path) -> bool:
    """Whether files can be made in a directory, which may have to be made first, but only inside a home that is there.

    :param directory: where files are to go.
    :param home: the user's home, which is never made.
    """
    while not directory.exists() and directory not in (home, directory.parent):
        directory = directory.parent
    return directory.is_dir() and os.access(directory, os.W_OK | os.X_OK)


def pip_settings(env: dict[str, str]) -> dict[str, str]:
    """How pip is set up to reach packages, by the names of its options; its variables win over its files."""
    ask = [str(PYTHON), "-I", "-m", "pip", "config", "list"]
    listed = subprocess.run(ask, env=env, capture_output=True, text=True, check=True)  # noqa: S603 - as above
    settings: dict[str, str] = {}
    for section in ("global.", "install.", ":env:."):
        for line in listed.stdout.splitlines():
            name, _, value = line.partition("=")
            if name.startswith(section):
                # Written as Python would write it; several addresses stand on lines of their own.
                settings[name.removeprefix(section)] = " ".join(str(ast.literal_eval(value)).split())
    return settings


def run(what: str, command: list[str], env: dict[str, str]) -> None:
    """Run one step of the installation, with its output shown.

    :param what: the step in a few words, for the message if it fails.
    :param command: program and arguments.
    :param env: its whole environment.
    :raises SystemExit: with 1, when the step failed.
    """
    code = subprocess.run(command, cwd=ROOT, env=env, check=False).returncode  # noqa: S603 - commands of this file
    if code != 0:
        say(f"failed: {what} (exit status {code}); see above. The next run starts over.")
        raise SystemExit(1)


def make(version: str) -> None:
    """Make the environment, from nothing.

    :param version: of this interpreter, which becomes the environment's.
    """
    started = time.monotonic()
    COMPLETE.unlink(missing_ok=True)
    for entry in VENV.iterdir():
        if entry in (CACHE, LOCK):
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    say(f"making .venv with Python {version} ({sys.executable})")
    env = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    run("making a virtual environment", [sys.executable, "-I", "-m", "venv", str(VENV)], env)
    env = environment()
    python = str(PYTHON)
    say("installing uv, the installer")
    pip = [python, "-I", "-m", "pip", "install", "--quiet", "--constraint", "constraints.txt"]
    run("installing uv with pip", [*pip, "uv"], env)
    say("installing Airflow, this provider, Milvus Lite and the tools, as pinned in constraints.txt")
    uv = [python, "-I", "-m", "uv", "pip", "install", "--python", python, "--quiet", "--compile-bytecode"]
    pinned = ["--constraint", "constraints.txt", "--build-constraint", "constraints.txt"]
    run("installing the pinned packages", [*uv, *pinned, *WHAT], env)
    partial = COMPLETE.with_suffix(".new")
    partial.write_text(fingerprint(version) + "\n")
    partial.replace(COMPLETE)
    say(f"done in {time.monotonic() - started:.0f} s")


def main() -> int:
    """Check or make the environment, or run uv in it; see the top of this file."""
    if sys.argv[1:2] == ["uv"]:
        os.chdir(ROOT)
        os.execve(PYTHON, [str(PYTHON), "-I", "-m", *sys.argv[1:]], environment())  # noqa: S606 - what the caller asks
    if "--check" in sys.argv[1:]:
        return 0 if up_to_date() else 3
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if up_to_date(version):
        return 0
    VENV.mkdir(exist_ok=True)
    with LOCK.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another run is making .venv; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        if not up_to_date(version):
            make(version)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        say("interrupted; the next run starts over")
        sys.exit(130)
