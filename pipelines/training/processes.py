"""Tasks in processes of their own, their stages told where they are told of all others."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from joblib import Parallel, delayed

from pipelines.stopwatch import Spent, Stopwatch

__all__ = ["run_tasks"]

Progress = Callable[[str], None]
_LOOK_SECONDS = 0.2


def run_tasks[Found](
    tasks: Sequence[Callable[[Progress], Found]],
    *,
    processes: int,
    progress: Progress,
    watch: Stopwatch,
) -> list[Found]:
    """Return what each task returns, in their order.

    Parameters
    ----------
    tasks
        Each is called with what it tells its stages to. With several processes a task and what it
        returns are pickled.
    processes
        At the same time; 1 runs them here, one after the other.
    progress
        Told each stage as it begins, of tasks elsewhere by a thread, and a moment later.
    watch
        Counts what the processes take.

    Raises
    ------
    Exception
        What a task raised, as it was.
    """
    if min(processes, len(tasks)) < 2:
        return [task(progress) for task in tasks]
    with _stages_told(progress) as stages:
        # Plain copies: an array mapped from a file could not be written to.
        run = Parallel(n_jobs=processes, backend="loky", max_nbytes=None, idle_worker_timeout=10)
        found = list(run(delayed(_run)(task, stages, os.getpid()) for task in tasks))
    for _, spent in found:
        watch.add(spent)
    return [returned for returned, _ in found]


def _run[Found](
    task: Callable[[Progress], Found], stages: Path, parent: int
) -> tuple[Found, Spent]:
    """Run a task in a process that ends where the one that started it was killed."""

    def tell(stage: str) -> None:
        if os.getppid() != parent:
            os._exit(1)
        with stages.open("a", encoding="utf-8") as file:
            file.write(f"{stage}\n")

    before = Spent.so_far()
    found, after = task(tell), Spent.so_far()
    seconds = after.processor_seconds - before.processor_seconds
    return found, Spent(seconds, after.peak_bytes)


@contextmanager
def _stages_told(progress: Progress) -> Iterator[Path]:
    """Give the file in which other processes write their stages, which are told as they come."""
    ended = threading.Event()

    def tell(file: Path) -> None:
        with file.open(encoding="utf-8") as lines:
            going_on = True
            while going_on:
                going_on = not ended.wait(_LOOK_SECONDS)
                for line in lines:
                    progress(line.rstrip("\n"))

    with TemporaryDirectory(prefix="oncoresist-") as folder:
        stages = Path(folder) / "stages"
        stages.touch()
        teller = threading.Thread(target=tell, args=(stages,), daemon=True)
        teller.start()
        try:
            yield stages
        finally:
            ended.set()
            teller.join()
