"""What a training takes: minutes by part, processor time, peak memory."""

import resource
import sys
import time

__all__ = ["Stopwatch"]

_BYTES = 1 if sys.platform == "darwin" else 1024
_GIB = 2**30


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
        self._processor = time.process_time()
        self._minutes: dict[str, float] = {}

    def lap(self, part: str) -> None:
        """Note that a part ends, and the next begins."""
        now = time.monotonic()
        self._minutes[part] = (now - self._last) / 60
        self._last = now

    @property
    def metrics(self) -> dict[str, float]:
        """``minutes.<part>``, ``minutes.processor`` (of all threads) and ``memory.peak_gib``."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _BYTES / _GIB
        return {
            **{f"minutes.{part}": minutes for part, minutes in self._minutes.items()},
            "minutes.processor": (time.process_time() - self._processor) / 60,
            "memory.peak_gib": peak,
        }
