"""Where sequences are run: in this process, in worker processes, on a Ray cluster.

Every engine takes the same job and yields one outcome a sequence, as they come. What a tracker raises ends its own
sequence only; a worker process that dies takes no other sequence with it.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice

from ostrack.data.sequence import Sequence
from ostrack.errors import EvaluationError, OSTrackError
from ostrack.evaluate.batching import SharedRuntime
from ostrack.evaluate.follow import Followed, follow, follow_supervised
from ostrack.evaluate.peers import Follower, TrackerSpec, open_network, open_tracker
from ostrack.machine import usable_cores
from ostrack.network import Network

__all__ = ["ENGINES", "Failed", "Job", "Outcome", "run_here", "run_in_processes", "run_on_ray"]

Tick = Callable[[int], None]


@dataclass(frozen=True)
class Failed:
    """A sequence that could not be run.

    Attributes:
        sequence: Its name.
        message: What went wrong, in one line.
        details: The traceback.
    """

    sequence: str
    message: str
    details: str = ""


Outcome = Followed | Failed


@dataclass(frozen=True)
class Job:
    """What to run.

    Attributes:
        tracker: The tracker.
        sequences: Over these.
        supervised: Restart after failures (VOT) instead of once through.
        batch: Sequences that share one call of the network; 1 for trackers other than ours.
        workers: Processes, or tasks at a time on a cluster.
        threads: CPU threads of a worker; the runtime's choice where None.
    """

    tracker: TrackerSpec
    sequences: tuple[Sequence, ...]
    supervised: bool = False
    batch: int = 1
    workers: int = 1
    threads: int | None = None

    def alone(self, *sequences: Sequence) -> Job:
        """The part of the job that one worker does."""
        return replace(self, sequences=sequences, workers=1)

    def groups(self) -> list[Job]:
        """Parts for workers, the longest first so that none is left over at the end."""
        ordered = iter(sorted(self.sequences, key=len, reverse=True))
        return [self.alone(*part) for part in iter(lambda: tuple(islice(ordered, self.batch)), ())]


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if isinstance(error, OSTrackError) else f"{type(error).__name__}: {text}"


def _failed(name: str, error: BaseException) -> Failed:
    return Failed(name, _one_line(error), "".join(traceback.format_exception(error)))


def _open(spec: TrackerSpec, threads: int | None) -> tuple[Callable[[], Follower], Network | None]:
    if spec.kind == "ostrack" and threads is not None and "threads" not in dict(spec.options):
        spec = replace(spec, options=(*spec.options, ("threads", str(threads))))
    network = open_network(spec)
    return open_tracker(spec, network), network


_open_once = lru_cache(maxsize=1)(_open)


def run_here(job: Job, tick: Tick | None = None, keep: bool = False) -> Iterator[Outcome]:
    """Run in threads of this process: one, or as many as share a call of the network.

    Args:
        job: What to run.
        tick: Called from those threads with the number of frames done since the last call.
        keep: Keep the tracker loaded for the next job of this process, as a worker that does many sequences wants.
    """
    make, network = (_open_once if keep else _open)(job.tracker, job.threads)
    slots = max(1, min(job.batch, len(job.sequences)))
    shared = SharedRuntime(network) if slots > 1 and network is not None else None
    if shared is not None and network is not None:
        make = open_tracker(job.tracker, Network(shared, network.calibration))
    elif slots > 1:
        raise EvaluationError(f"tracker {job.tracker.label}: only networks of this package run in batches")
    run, stop, local = follow_supervised if job.supervised else follow, threading.Event(), threading.local()

    def one(sequence: Sequence) -> Followed:
        if not hasattr(local, "follower"):
            local.follower = make()
        if shared is None:
            return run(local.follower, sequence, tick, stop)
        with shared.member():
            return run(local.follower, sequence, tick, stop)

    executor = ThreadPoolExecutor(slots)
    try:
        futures = {executor.submit(one, sequence): sequence.name for sequence in job.sequences}
        yield from _as_they_come(futures)
    finally:
        stop.set()
        executor.shutdown(cancel_futures=True)


def _as_they_come(futures: dict[Future[Followed], str]) -> Iterator[Outcome]:
    waiting = set(futures)
    while waiting:
        done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        for future in done:
            error = future.exception()
            yield future.result() if error is None else _failed(futures[future], error)


def _work(job: Job) -> list[Outcome]:
    """What a worker process or a Ray task does."""
    if job.threads is not None:
        import cv2

        cv2.setNumThreads(job.threads)
    return list(run_here(job, keep=True))


def run_in_processes(job: Job, tick: Tick | None = None) -> Iterator[Outcome]:
    """Run in ``job.workers`` processes.

    When a process dies, the system does not say which sequence killed it: all that were running then are run again one
    by one, and the one that kills its process again has failed.
    """
    threads = job.threads or max(1, usable_cores() // job.workers)
    todo, suspects = replace(job, threads=threads).groups(), list[Job]()
    while todo or suspects:
        alone = not todo
        with _pool(1 if alone else job.workers) as pool:
            running: dict[Future[list[Outcome]], Job] = {}
            broken = False
            while running or ((todo or (alone and suspects)) and not broken):
                source = suspects if alone else todo
                while source and len(running) < (1 if alone else job.workers) and not broken:
                    try:
                        running[pool.submit(_work, source[0])] = source[0]
                    except BrokenProcessPool:
                        broken = True
                    else:
                        source.pop(0)
                done, _ = wait(running, return_when=FIRST_COMPLETED) if running else (set(), set())
                for future in done:
                    part, error = running.pop(future), future.exception()
                    if isinstance(error, BrokenProcessPool):
                        broken = True
                        if alone and len(part.sequences) == 1:
                            yield Failed(part.sequences[0].name, "the worker process died (out of memory, or a crash)")
                        else:
                            suspects += [part.alone(sequence) for sequence in part.sequences]
                    else:
                        yield from _finished(part, future, tick)


def _pool(workers: int) -> Executor:
    # Forked copies of a process that runs threads (ONNX, OpenCV) can hang, so workers start afresh.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with_parent)


def _end_with_parent() -> None:
    """Let a worker end when the process that began it is gone, however that ended."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_exit_after, args=(parent.sentinel,), daemon=True).start()


def _exit_after(sentinel: int) -> None:
    multiprocessing.connection.wait([sentinel])
    os._exit(1)


def _finished(part: Job, future: Future[list[Outcome]], tick: Tick | None) -> Iterator[Outcome]:
    error = future.exception()
    if tick is not None:
        tick(sum(len(sequence) for sequence in part.sequences))
    if error is None:
        yield from future.result()
    else:
        yield from (_failed(sequence.name, error) for sequence in part.sequences)


def run_on_ray(job: Job, tick: Tick | None = None) -> Iterator[Outcome]:
    """Run on the Ray cluster that this machine belongs to; outcomes come back here.

    The cluster is the one of ``RAY_ADDRESS``, or the running one. Every node needs this package and the frames under
    the same path. ``job.workers`` tasks run at a time, each with ``job.threads`` CPUs, and a GPU where the tracker's
    device is CUDA.

    Raises:
        EvaluationError: Ray is not installed, or no cluster is running.
    """
    try:
        import ray
    except ModuleNotFoundError as error:
        raise EvaluationError('ray is not installed; run: pip install "ostrack[ray]"') from error
    started = not ray.is_initialized()
    if started:
        _check_address(os.environ.get("RAY_ADDRESS", ""))
        paths = os.pathsep.join([*job.tracker.search_path, *filter(None, [os.environ.get("PYTHONPATH")])])
        try:
            ray.init(
                address=os.environ.get("RAY_ADDRESS", "auto"),
                runtime_env={"env_vars": {"PYTHONPATH": paths}} if paths else {},
                log_to_driver=False,
            )
        except ConnectionError as error:
            raise EvaluationError("no running Ray cluster; begin one with: ray start --head") from error
    threads = job.threads or 1
    gpus = 1 if str(job.tracker.values.get("device", "")).startswith("cuda") else 0
    task = ray.remote(num_cpus=threads, num_gpus=gpus)(_work)
    todo = replace(job, threads=threads).groups()
    try:
        running: dict[ray.ObjectRef[list[Outcome]], Job] = {}
        while todo or running:
            while todo and len(running) < job.workers:
                part = todo.pop(0)
                running[task.remote(part)] = part
            done, _ = ray.wait(list(running), num_returns=1)
            for reference in done:
                part = running.pop(reference)
                if tick is not None:
                    tick(sum(len(sequence) for sequence in part.sequences))
                try:
                    yield from ray.get(reference)
                except ray.exceptions.RayError as error:
                    yield from (_failed(sequence.name, error) for sequence in part.sequences)
    finally:
        if started:
            ray.shutdown()


def _check_address(address: str) -> None:
    """Ray itself tries for minutes before it gives up on an address."""
    host, _, port = address.rpartition(":")
    if not port.isdigit() or "://" in host:
        return
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError as error:
        raise EvaluationError(f"no Ray cluster answers at {address} (RAY_ADDRESS): {error.strerror}") from error


def _local(job: Job, tick: Tick | None = None) -> Iterator[Outcome]:
    return run_here(job, tick) if job.workers == 1 else run_in_processes(job, tick)


ENGINES: dict[str, Callable[[Job, Tick | None], Iterator[Outcome]]] = {"local": _local, "ray": run_on_ray}
"""Engines by name."""
