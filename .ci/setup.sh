#!/bin/sh
# Brings .venv up to date: finds a Python that fits and hands over to setup_venv.py, which does the work.
# PYTHON=/path/to/python chooses the interpreter. Nothing is written outside the checkout.
set -u
cd "$(dirname "$0")/.." || exit 1

# Names on PATH may be shims that fail when they are run, so a candidate counts only once it has run.
version_of() {
    "$1" -I -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null
}
fits() {
    case $1 in 3.10 | 3.11 | 3.12 | 3.13) return 0 ;; *) return 1 ;; esac
}
can_make_venvs() {
    "$1" -I -c 'import ensurepip, venv' 2>/dev/null
}
no_venv_module() {
    echo "setup: Python $2 ($1) cannot make virtual environments: its modules venv or ensurepip are missing." >&2
    echo "setup: on Debian and Ubuntu the package python$2-venv has them. Or name another interpreter: PYTHON=/path/to/python" >&2
    exit 1
}

chosen=${PYTHON:-}
if [ -z "$chosen" ] && [ -x .venv/bin/python ] && .venv/bin/python -I .ci/setup_venv.py --check 2>/dev/null; then
    exit 0
fi

if [ -n "$chosen" ]; then
    version=$(version_of "$chosen")
    if ! fits "$version"; then
        echo "setup: PYTHON=$chosen is ${version:+Python }${version:-not a Python that runs}; 3.10 to 3.13 is needed." >&2
        exit 1
    fi
    can_make_venvs "$chosen" || no_venv_module "$chosen" "$version"
    exec "$chosen" -I .ci/setup_venv.py
fi

seen=
lacking=
lacking_version=
old_ifs=$IFS
for name in python3 python3.13 python3.12 python3.11 python3.10 python; do
    IFS=:
    for directory in $PATH; do
        IFS=$old_ifs
        candidate=${directory:-.}/$name
        [ -x "$candidate" ] && [ ! -d "$candidate" ] || continue
        version=$(version_of "$candidate")
        if ! fits "$version"; then
            seen="$seen
    $candidate: ${version:-does not run}"
            continue
        fi
        if can_make_venvs "$candidate"; then
            exec "$candidate" -I .ci/setup_venv.py
        fi
        lacking=${lacking:-$candidate}
        lacking_version=${lacking_version:-$version}
    done
    IFS=$old_ifs
done

[ -z "$lacking" ] || no_venv_module "$lacking" "$lacking_version"
echo "setup: no Python 3.10 to 3.13 was found on PATH. Install one, or say where it is: PYTHON=/path/to/python" >&2
[ -z "$seen" ] || echo "setup: what was found:$seen" >&2
exit 1
