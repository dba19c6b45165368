"""Tasks in processes of their own."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from features.errors import CohortError
from pipelines.stopwatch import Spent, Stopwatch
from pipelines.training.processes import run_tasks

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Doubled:
    """Doubles an array, and says where."""

    values: np.ndarray

    def __call__(self, progress: Progress) -> tuple[np.ndarray, int]:
        progress(f"doubling {len(self.values)} values")
        progress("done – nearly")
        self.values[0] = 1.0  # an array mapped from a file would refuse
        return 2 * self.values, os.getpid()


@dataclass(frozen=True)
class Refused:
    """Fails as a cohort that cannot be used does."""

    def __call__(self, progress: Progress) -> tuple[np.ndarray, int]:
        progress("reading")
        raise CohortError("cohort 'a' has no sample left: give others")


TASKS = [Doubled(np.zeros(10)), Doubled(np.zeros(300_000))]


@pytest.mark.parametrize("processes", [1, 2])
def test_tasks_return_in_order_and_tell_all_their_stages(processes: int) -> None:
    told: list[str] = []
    watch = Stopwatch()
    found = run_tasks(TASKS, processes=processes, progress=told.append, watch=watch)
    assert [len(values) for values, _ in found] == [10, 300_000]
    assert all(values[0] == 2.0 for values, _ in found)
    assert ({pid for _, pid in found} == {os.getpid()}) == (processes == 1)
    assert sorted(told) == sorted(
        ["doubling 10 values", "done – nearly", "doubling 300000 values", "done – nearly"]
    )


def test_the_clock_counts_what_other_processes_take() -> None:
    watch = Stopwatch()
    before = watch.metrics
    watch.add(Spent(120.0, 2**40))
    watch.add(Spent(60.0, 2**30))
    after = watch.metrics
    assert after["minutes.processor"] - before["minutes.processor"] == pytest.approx(3, abs=0.01)
    assert after["memory.peak_gib"] == 1024


def test_what_a_task_raises_arrives_as_it_was_after_its_stage() -> None:
    told: list[str] = []
    with pytest.raises(CohortError, match="cohort 'a' has no sample left"):
        run_tasks([Refused(), Refused()], processes=2, progress=told.append, watch=Stopwatch())
    assert "reading" in told


STARTS_AND_WAITS = """\
import os, sys, time
from pathlib import Path
from pipelines.stopwatch import Stopwatch
from pipelines.training.processes import run_tasks

def work(progress):
    Path(sys.argv[1], str(os.getpid())).touch()
    while True:
        progress("working")
        time.sleep(0.05)

run_tasks([work, work], processes=2, progress=lambda stage: None, watch=Stopwatch())
"""


def wait_until(holds: Callable[[], bool], *, seconds: float = 60) -> bool:
    """Wait for something to hold; return whether it did."""
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.05)
    return holds()


def is_running(pid: int) -> bool:
    state = Path(f"/proc/{pid}/stat")
    return state.exists() and state.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are told by /proc")
def test_processes_end_where_the_one_that_started_them_was_killed(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", STARTS_AND_WAITS, str(tmp_path)])
    try:
        assert wait_until(lambda: len(list(tmp_path.iterdir())) == 2)
        workers = [int(file.name) for file in tmp_path.iterdir()]
        assert all(is_running(pid) for pid in workers)
    finally:
        parent.kill()
        parent.wait()
    assert wait_until(lambda: not any(is_running(pid) for pid in workers), seconds=20)
