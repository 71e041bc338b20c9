"""The workers: processes of this machine, a Dask scheduler that is running, or jobs of a batch system."""

from __future__ import annotations

import importlib.util
import logging
import signal
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from multiprocessing import resource_tracker
from typing import Any

from flow.core.errors import FlowError, ToolNotFound, UsageError
from flow.tools import process

_BATCH_SYSTEMS = {"slurm": "SLURMCluster", "lsf": "LSFCluster", "htcondor": "HTCondorCluster"}
_CONNECT_S = 15


def check_scheduler(scheduler: str | None) -> None:
    """Raise UsageError for what is neither an address nor a batch system."""
    if scheduler is None or scheduler in _BATCH_SYSTEMS:
        return
    protocol, separator, place = scheduler.partition("://")
    host, colon, port = place.rpartition(":")
    if protocol not in ("tcp", "tls") or not separator or not host or not colon or not port.isdigit():
        known = ", ".join(_BATCH_SYSTEMS)
        raise UsageError(f"--scheduler {scheduler}: give an address like tcp://host:8786, or one of {known}")


class OwnProcess:
    """What a sweep needs of a Dask client, with this process as the only worker: no scheduler, no ports."""

    status = "running"

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1)

    def submit(self, function: Callable[[Any], Any], job: Any, pure: bool = False) -> OwnFuture:
        """Run ``function`` of ``job`` in the background."""
        return OwnFuture(self._pool.submit(function, job))

    def nthreads(self) -> dict[str, int]:
        """One thread, here."""
        return {"here": 1}

    def scheduler_info(self) -> dict[str, Any]:
        """There is none."""
        return {}

    def close(self) -> None:
        """End what runs."""
        process.end_all()
        self._pool.shutdown(cancel_futures=True)


class OwnFuture:
    """What a sweep needs of a Dask future."""

    def __init__(self, future: Future[Any]) -> None:
        self._future = future
        self.done, self.result, self.exception, self.cancel = (
            future.done, future.result, future.exception, future.cancel,
        )  # fmt: skip

    @property
    def status(self) -> str:
        """``error`` where the function raised, else ``finished``, of one that is done."""
        return "error" if self._future.exception() else "finished"


@contextmanager
def connected(scheduler: str | None, workers: int, own: bool = False) -> Iterator[Any]:
    """A Dask client. With no scheduler ``workers`` local processes of one thread each; for a batch system so many jobs.

    ``own``: no Dask at all, trials run in this process.
    Raises FlowError where the scheduler cannot be reached or the jobs cannot be submitted.
    """
    if own:
        with closing(OwnProcess()) as alone:
            yield alone
        return
    from distributed import Client

    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what matters is said by the sweep itself
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if scheduler is None or scheduler in _BATCH_SYSTEMS:
            cluster = _local(workers) if scheduler is None else _batch(scheduler, workers)
            with cluster, Client(cluster, set_as_default=False) as client:
                yield client
            return
        try:
            client = Client(scheduler, timeout=_CONNECT_S, set_as_default=False)
        except (OSError, ValueError) as exc:
            reason = str(exc).splitlines()[0] if str(exc) else type(exc).__name__
            raise FlowError(f"no scheduler answers at {scheduler} ({reason}); start one with: dask scheduler") from None
        with client:
            yield client


def _local(workers: int) -> Any:
    """Worker processes that a Ctrl-C on the terminal does not reach: the driver ends them.

    The signal is blocked while the cluster's threads are made; they, and every worker they start, keep it blocked.
    """
    from distributed import LocalCluster

    resource_tracker.ensure_running()  # starting it later would unblock the signal
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            memory_limit=0,  # trainings and builds are processes of their own: nothing here to measure
            dashboard_address="127.0.0.1:0" if has_dashboard() else None,
            silence_logs=logging.CRITICAL,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _batch(system: str, jobs: int) -> Any:
    try:
        import dask_jobqueue
    except ImportError:
        raise ToolNotFound(f"--scheduler {system} needs dask-jobqueue; pip install 'nmp-flow[cluster]'") from None
    try:
        cluster = getattr(dask_jobqueue, _BATCH_SYSTEMS[system])()
        cluster.scale(jobs=jobs)
    except (OSError, ValueError, TypeError, RuntimeError) as exc:
        reason = str(exc).splitlines()[0] if str(exc) else type(exc).__name__
        raise FlowError(
            f"cannot start jobs of {system}: {reason}; describe them in ~/.config/dask/jobqueue.yaml, see docs/howto"
        ) from None
    return cluster


def has_dashboard() -> bool:
    """Whether Dask can serve its dashboard here."""
    return importlib.util.find_spec("bokeh") is not None


def dashboard(client: Any) -> str:
    """The address of the scheduler's dashboard, empty where it serves none."""
    served = "dashboard" in client.scheduler_info().get("services", {})
    return str(client.dashboard_link) if served and has_dashboard() else ""


def slots(client: Any) -> int:
    """How many trials the workers that are there run at once."""
    return sum(client.nthreads().values())
