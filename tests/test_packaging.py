"""The distribution: a wheel with all that runs, in an environment of its own, from a folder of somebody else."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("flow", "keras_models", "sim", "hls_templates")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def done(*words: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A program that ended well, in an environment without ours."""
    variables = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")} | environment
    ran = subprocess.run([str(w) for w in words], cwd=cwd, env=variables, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-3000:]
    return ran


def pip(*words: object, cwd: Path) -> None:
    done(sys.executable, "-m", "pip", *words, "-q", cwd=cwd)


def test_what_builds_of_a_design_need_is_said_once() -> None:
    """The smaller set of packages is a part of the whole one, and without what learning takes."""
    whole, small = PROJECT["project"]["dependencies"], PROJECT["dependency-groups"]["design"]
    assert set(small) < set(whole)
    assert not [line for line in small if line.startswith(("keras", "jax", "tensorflow", "qkeras", "scikit"))]
    extras = PROJECT["project"]["optional-dependencies"]
    assert not {line for extra in ("sweep", "tensorboard", "cluster") for line in extras[extra]} & set(whole)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if int(importlib.metadata.version("setuptools").partition(".")[0]) < 77:
        pytest.skip("building a wheel without the network needs setuptools 77 here: pip install -e '.[dev]'")
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # a copy: setuptools leaves folders of its own beside what it builds
    for name in done("git", "ls-files", cwd=ROOT).stdout.splitlines():
        if (name.split("/")[0] in FOLDERS or "/" not in name) and (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    pip("wheel", "--no-deps", "--no-build-isolation", "-w", folder, source, cwd=folder)
    return next(folder.glob("nmp_flow-*.whl"))


def test_the_wheel_holds_every_file_that_runs(wheel: Path) -> None:
    packed = set(zipfile.ZipFile(wheel).namelist())
    tracked = done("git", "ls-files", *FOLDERS, cwd=ROOT).stdout.split()
    assert [name for name in tracked if name not in packed] == [] and len(tracked) > 250
    assert {name.split("/")[0] for name in packed} - set(FOLDERS) == {wheel.name.rpartition("-py3")[0] + ".dist-info"}
    assert {f"{folder}/py.typed" for folder in FOLDERS} <= packed


@pytest.mark.long
def test_an_installed_wheel_trains_builds_and_sweeps(wheel: Path, tmp_path: Path) -> None:
    """In a fresh environment that sees the packages of this one but not our sources, beside names like ours."""
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    pip(f"--python={python}", "install", "--no-deps", "--no-index", wheel, cwd=tmp_path)
    told = done(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path)
    site = Path(told.stdout.strip())
    (site / "packages.pth").write_text(sysconfig.get_path("purelib") + "\n")
    work = tmp_path / "work"
    (work / "sim").mkdir(parents=True)
    (work / "sim" / "__init__.py").write_text("raise SystemExit('the sim of the user')\n")
    (work / "flow.py").write_text("raise SystemExit('the flow.py of the user')\n")
    nmp = python.with_name("nmp")
    where = done(python, "-P", "-c", "import flow; print(flow.__file__, flow.__version__)", cwd=work).stdout
    assert where.startswith(str(site)) and importlib.metadata.version("nmp-flow") in where
    small = ("--data", "breast_cancer", "--hidden", "2", "--epochs", "2")
    done(nmp, "train", *small, "--out", "m.h5", cwd=work)
    words = ("--model", "m.h5", "--engines", "integer,icarus,verilator", "--vectors", "20", "--out", "b", "--json")
    report = json.loads(done(nmp, "build", *words, cwd=work).stdout)
    assert report["status"] == "ok" and {"keras", "icarus", "native"} <= set(report["verification"])
    words = (*small, "--trials", "1", "--workers", "1")
    front = json.loads(done(nmp, "sweep", *words, "--front-engines", "none", "--json", cwd=work).stdout)
    assert front
    assert "LUT" in done(nmp, "report", "b", cwd=work).stdout.upper()
