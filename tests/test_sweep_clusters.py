"""Batch systems: the documented configurations give job scripts, and a sweep runs on jobs of a stand-in for Slurm."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CONFIGURATIONS = ROOT / "docs" / "howto" / "clusters"
ENV = {**os.environ, "PYTHONPATH": str(ROOT)}
SCRIPT = """
import sys, dask_jobqueue
with getattr(dask_jobqueue, sys.argv[1])() as cluster:
    print(cluster.job_script())
"""
SYSTEMS = {
    "slurm": ("SLURMCluster", ("#SBATCH -J nmp-sweep", "#SBATCH --cpus-per-task=2", "#SBATCH -t 08:00:00")),
    "lsf": ("LSFCluster", ("#BSUB -J nmp-sweep", "#BSUB -n 2", "#BSUB -W 08:00")),
    "htcondor": ("HTCondorCluster", ("MY.JobId", "request_cpus = 2", 'should_transfer_files = NO')),
}  # fmt: skip


@pytest.mark.parametrize("system", SYSTEMS)
def test_documented_configuration_gives_a_job_script(system, tmp_path):
    (tmp_path / "jobqueue.yaml").write_text((CONFIGURATIONS / f"{system}.yaml").read_text())
    cluster, wanted = SYSTEMS[system]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, cluster], cwd=tmp_path, capture_output=True, text=True, timeout=1200,
        check=False,
        env={**ENV, "DASK_CONFIG": str(tmp_path), "DASK_JOBQUEUE__HTCONDOR__PYTHON": sys.executable},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    missing = [text for text in (*wanted, "--nthreads 1", "--lifetime") if text not in done.stdout]
    assert not missing, done.stdout


def test_hosts_script_skips_with_a_reason_or_passes_its_arguments():
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "sweep_hosts.py", "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and "--trials" in done.stdout
    if shutil.which("setpriv") and os.geteuid() == 0:
        done = subprocess.run(
            ["setpriv", "--reuid=65534", "--clear-groups", sys.executable, ROOT / "benchmarks" / "sweep_hosts.py"],
            capture_output=True, text=True, check=False, env={**ENV, "PYTHONDONTWRITEBYTECODE": "1"},
        )  # fmt: skip
        assert done.returncode == 77 and done.stdout.startswith("skipped: "), done.stdout + done.stderr


def test_a_sweep_on_jobs_of_a_batch_system(tmp_path):
    """A stand-in for sbatch keeps a copy of the job script, as Slurm does (the submitter deletes its own at once), and
    runs it in the background, as Slurm would on another host."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("sbatch", f'cp "$1" {tmp_path}/job.sh; setsid bash {tmp_path}/job.sh > {tmp_path}/job.log'
                        ' 2>&1 & echo "Submitted batch job 7"'),
                       ("scancel", "exit 0")):  # fmt: skip
        (programs / name).write_text(f"#!/bin/bash\n{text}\n")
        (programs / name).chmod(0o755 | stat.S_IXUSR)
    config = (CONFIGURATIONS / "slurm.yaml").read_text()
    prologue = "- source $HOME/nmp-flow/.venv/bin/activate"
    assert prologue in config
    (tmp_path / "jobqueue.yaml").write_text(config.replace(prologue, f"- export PYTHONPATH={ROOT}"))
    done = subprocess.run(
        [sys.executable, "-m", "flow.sweep", "--data", "breast_cancer", "--hidden", "2", "--bit-sets", "0-1.58/0-2",
         "--beta", "1e-3", "--epochs", "2", "--trials", "1", "--front-engines", "none", "--scheduler", "slurm",
         "--workers", "1", "--out", tmp_path / "out"],
        cwd=tmp_path, capture_output=True, text=True, timeout=1200, check=False,
        env={**ENV, "DASK_CONFIG": str(tmp_path), "PATH": f"{programs}:{os.environ['PATH']}"},
    )  # fmt: skip
    log = tmp_path / "job.log"
    assert done.returncode == 0, done.stdout + done.stderr + (log.read_text() if log.exists() else "no job")
    assert "#0 accuracy" in done.stdout and log.exists()
