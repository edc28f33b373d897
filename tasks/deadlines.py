"""Do several things at once, each under a deadline of its own; what takes longer is left behind."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

__all__ = ["Job", "Late", "at_once"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Late(Exception):  # noqa: N818 - it is said of a job, and never raised
    """A job that had not ended by its deadline, in seconds."""

    def __init__(self, deadline_s: float) -> None:
        super().__init__(f"no end within {deadline_s:g} s")
        self.deadline_s = deadline_s


@dataclass(frozen=True, slots=True)
class Job(Generic[T_co]):
    """Something to do, and for how many seconds it is waited for."""

    do: Callable[[], T_co]
    deadline_s: float


def at_once(jobs: Mapping[str, Job[T]]) -> Iterator[tuple[str, T | Exception]]:
    """Do all of them at once, and give each one's result, or what it raised, as soon as it is there.

    A job that is late is given as ``Late``; should it end after all, nobody hears of it. Its thread
    cannot be stopped, so it is a daemon: it keeps neither the others nor the process from ending.
    What the caller does between two results is time that the others have as well.
    """
    done: SimpleQueue[tuple[str, T | Exception]] = SimpleQueue()

    def run(name: str, job: Job[T]) -> None:
        try:
            done.put((name, job.do()))
        except Exception as error:  # noqa: BLE001 - handed to whoever asked
            done.put((name, error))

    started = time.monotonic()
    for name, job in jobs.items():
        threading.Thread(target=run, args=(name, job), name=name, daemon=True).start()
    waiting = {name: started + job.deadline_s for name, job in jobs.items()}
    while waiting:
        first = min(waiting, key=lambda name: waiting[name])
        try:
            # What has come in the meantime counts, even where the caller was busy past a deadline.
            name, result = done.get(timeout=max(0.0, waiting[first] - time.monotonic()))
        except Empty:
            name, result = first, Late(jobs[first].deadline_s)
        if waiting.pop(name, None) is not None:
            yield name, result
