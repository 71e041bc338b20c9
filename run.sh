#!/usr/bin/env bash
# Sets everything up, then runs: ./run.sh demo | test | lint | docs | notebook | setup
#   demo   train on bundled data, build verified hardware for xc7z020, write demo/build/report.json
#   test   linters, types and tests
#   lint   linters and types only
#   docs   build the documentation of this version in site/VERSION/
#   notebook   run docs/example.ipynb again and keep its output
#   setup  only the set-up
# The environment is .venv in this folder (NMP_VENV names another); a second run finds it ready.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
VENV=${NMP_VENV:-.venv}

fail() { echo "error: $*" >&2; exit 1; }

system_packages() {
    local missing=() package
    for package in iverilog:iverilog g++:g++ make:make perl:perl; do
        command -v "${package%%:*}" >/dev/null || missing+=("${package##*:}")
    done
    [ ${#missing[@]} -eq 0 ] && return
    command -v apt-get >/dev/null || fail "please install ${missing[*]} with your system's package manager, then run this again"
    local sudo=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || fail "please have an administrator run: apt-get install ${missing[*]}"
        sudo=(sudo)
    fi
    echo "installing ${missing[*]} ..."
    "${sudo[@]}" apt-get update -qq
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >/dev/null
}

find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3.13 python3.12 python3.11 python3; do
        [ -n "$candidate" ] && command -v "$candidate" >/dev/null &&
            "$candidate" -c 'import sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null &&
            { echo "$candidate"; return; }
    done
    fail "Python 3.11 to 3.13 with the venv module is needed; install it (Debian: apt-get install python3 python3-venv) or set PYTHON"
}

# What pip and the build backend say belongs on the screen only where they fail.
quietly_install() {
    local log=$VENV/pip.log
    if ! "$VENV/bin/python" -m pip install -q "$@" >"$log" 2>&1; then
        cat "$log" >&2
        fail "pip could not install $*; its messages are above and in $log"
    fi
}

environment() {
    local stamp
    stamp=$(sha256sum pyproject.toml | cut -d' ' -f1)
    if [ "$(cat "$VENV/.stamp" 2>/dev/null)" != "$stamp" ]; then
        local python
        python=$(find_python)
        echo "setting up $VENV with $("$python" --version) (one to a few minutes, 3.8 GB) ..."
        "$python" -m venv "$VENV"
        quietly_install --upgrade pip
        quietly_install -e '.[dev]'
        echo "$stamp" > "$VENV/.stamp"
    fi
    PATH="$(cd "$VENV" && pwd)/bin:$PATH"
    export PATH
}

demo() {
    mkdir -p demo
    python -m keras_models.train --data digits --hidden 32 --epochs 150 --seed 1 --lut-budget 1500 --out demo/digits.h5
    python -m flow.build --model demo/digits.h5 --data digits --part xc7z020 --out demo/build
}

lint() {
    ruff check .
    ruff format --check .
    mypy
}

docs() {
    version=$(python -c "from keras_models.version import __version__; print(__version__)")
    NO_MKDOCS_2_WARNING=1 python -m mkdocs build --strict -q -d "site/$version"
    python docs/_hooks/versions.py site "$version"
    echo "the documentation is in site/$version/index.html, beside that of other versions"
}

notebook() {
    local work
    work=$(mktemp -d)
    PYTHONPATH=$PWD python - "$work" <<'PYTHON'
import sys
import nbformat
from nbclient import NotebookClient

notebook = nbformat.read("docs/example.ipynb", as_version=4)
NotebookClient(notebook, timeout=900, resources={"metadata": {"path": sys.argv[1]}}).execute()
for cell in notebook.cells:
    cell.metadata.pop("execution", None)  # times, which change with every run
nbformat.write(notebook, "docs/example.ipynb")
PYTHON
    rm -r "$work"
}

command=${1:-help}
case "$command" in
    demo | test | lint | docs | notebook | setup) ;;
    *) sed -n '2,10s/^# \{0,1\}//p' "$0"; [ "$command" = help ] && exit 0 || exit 2 ;;
esac
system_packages
environment
case "$command" in
    demo) demo ;;
    lint) lint ;;
    docs) docs ;;
    notebook) notebook ;;
    test) lint; shift; python -m pytest -n 2 --dist worksteal "$@" ;;
    setup) echo "ready: source $VENV/bin/activate" ;;
esac
