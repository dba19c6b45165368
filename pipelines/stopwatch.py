"""What a training takes: minutes by part, processor time, peak memory."""

import resource
import sys
import time
from dataclasses import dataclass
from typing import Self

__all__ = ["Spent", "Stopwatch"]

_BYTES = 1 if sys.platform == "darwin" else 1024
_GIB = 2**30


@dataclass(frozen=True)
class Spent:
    """What a process has taken: processor time of all threads, and its highest memory."""

    processor_seconds: float
    peak_bytes: int

    @classmethod
    def so_far(cls) -> Self:
        """Return what this process has taken."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return cls(time.process_time(), peak * _BYTES)


class Stopwatch:
    """Measures parts that follow one another, from when it is made.

    Examples
    --------
    >>> watch = Stopwatch()
    >>> watch.lap("reading")
    >>> sorted(watch.metrics)
    ['memory.peak_gib', 'minutes.processor', 'minutes.reading']
    """

    def __init__(self) -> None:
        self._last = time.monotonic()
        self._processor = Spent.so_far().processor_seconds
        self._minutes: dict[str, float] = {}
        self._elsewhere = Spent(0.0, 0)

    def lap(self, part: str) -> None:
        """Note that a part ends, and the next begins."""
        now = time.monotonic()
        self._minutes[part] = (now - self._last) / 60
        self._last = now

    def add(self, elsewhere: Spent) -> None:
        """Count what a process that has done a part took; of memory the most of any process."""
        here = self._elsewhere
        self._elsewhere = Spent(
            here.processor_seconds + elsewhere.processor_seconds,
            max(here.peak_bytes, elsewhere.peak_bytes),
        )

    @property
    def metrics(self) -> dict[str, float]:
        """``minutes.<part>``, ``minutes.processor`` (of all threads) and ``memory.peak_gib``."""
        here = Spent.so_far()
        processor = here.processor_seconds - self._processor + self._elsewhere.processor_seconds
        return {
            **{f"minutes.{part}": minutes for part, minutes in self._minutes.items()},
            "minutes.processor": processor / 60,
            "memory.peak_gib": max(here.peak_bytes, self._elsewhere.peak_bytes) / _GIB,
        }
