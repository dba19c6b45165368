"""Tasks in processes of their own."""

import os
from collections.abc import Callable
from dataclasses import dataclass

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
