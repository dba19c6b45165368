"""Explaining 100,000 samples × 67 features against LightGBM's TreeSHAP of the same ensemble.

Run with ``make bench``; needs no data. The ensemble is that of the default configuration: 200 trees
of 5 leaves, 3 seeds. Native is ``Booster.predict(pred_contrib=True)`` of every member, summed and
averaged; ours brings it to the calibrated scale, checks each sample's sum against the model's own
log-odds and returns a table. It is timed as scoring calls it, the log-odds being known from the
prediction, and by itself, predicting them for the check. All run in this process, one after the
other in alternating order; the median of the paired ratios counts. Times are the processor's, which
other work on the machine moves less than the clock's. Working memory is the most that a fresh
process holds while it explains, beyond the table that it returns.
"""

import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.calibration import PlattCalibrator
from models.candidates import resistance_score
from models.classifier import ResistanceClassifier
from models.explanation import explain

N_SAMPLES, N_FEATURES, N_TRAINING = 100_000, 67, 424
_FEWER_SAMPLES = 25_000
_PAIRS = 3


def simulated_table(n_samples: int, *, seed: int) -> pd.DataFrame:
    """Return standardised features of made-up samples, one in twenty values not measured."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n_samples, N_FEATURES))
    values[rng.random(values.shape) < 0.05] = np.nan
    return pd.DataFrame(values, columns=[f"feature_{i}" for i in range(N_FEATURES)])


def trained() -> tuple[ResistanceClassifier, PlattCalibrator]:
    """Return an ensemble of the default configuration and its calibration."""
    X = simulated_table(N_TRAINING, seed=0)
    rng = np.random.default_rng(1)
    signal = X.fillna(0.0).to_numpy() @ rng.normal(size=N_FEATURES) / 4
    y = (signal + rng.normal(size=N_TRAINING) > 0).astype(int)
    classifier = ResistanceClassifier().fit(X, y)
    return classifier, PlattCalibrator().fit(classifier.decision_function(X), y)


def native(classifier: ResistanceClassifier, X: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return LightGBM's contributions and expected value, averaged over the members."""
    total = np.zeros((X.shape[0], X.shape[1] + 1))
    for booster in classifier.estimators_:
        total += booster.predict(X, pred_contrib=True)
    return total / len(classifier.estimators_)


def seconds(task: Callable[[], object]) -> float:
    """Return the processor time of a run, of all threads."""
    start = time.process_time()
    task()
    return time.process_time() - start


def working_megabytes(n_samples: int) -> float:
    """Return what explaining holds at most beyond input and returned table, in a new process."""
    command = [sys.executable, "-m", "benchmarks.explain", str(n_samples)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measure_memory(n_samples: int) -> None:
    """Print the rise of this process's highest resident memory, less the returned table, in MB."""
    classifier, calibrator = trained()
    explain(classifier, calibrator, simulated_table(100, seed=2))  # loads what is loaded once
    X = simulated_table(n_samples, seed=2)
    # Memory that the making of the table freed would hide a rise: hold it.
    held = []
    before = peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    while peak == before:
        held.append(np.ones(1_000_000 // 8))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = explain(classifier, calibrator, X)
    rise = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) * 1024
    returned = found.values.to_numpy().nbytes + found.base_value.to_numpy().nbytes
    print((rise - returned) / 1e6)


def main() -> None:
    """Measure and print."""
    classifier, calibrator = trained()
    X = simulated_table(N_SAMPLES, seed=2)
    matrix = np.ascontiguousarray(X.to_numpy())
    log_odds = resistance_score(classifier, X)
    tasks = {
        "native": lambda: native(classifier, matrix),
        "scoring": lambda: explain(classifier, calibrator, X, log_odds=log_odds),
        "alone": lambda: explain(classifier, calibrator, X),
    }
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for pair in range(_PAIRS):
        names = list(tasks) if pair % 2 == 0 else list(tasks)[::-1]
        for name in names:
            times[name].append(seconds(tasks[name]))
    print(f"{N_SAMPLES:,} samples × {N_FEATURES} features, 3 × 200 trees of 5 leaves")
    print(f"native TreeSHAP of the members   {statistics.median(times['native']):7.2f} s")
    labels = {"scoring": "explain, log-odds known", "alone": "explain, predicting them too"}
    for name, label in labels.items():
        ratios = [ours / of for ours, of in zip(times[name], times["native"], strict=True)]
        print(
            f"{label:32} {statistics.median(times[name]):7.2f} s  "
            f"{statistics.median(ratios):.2f} × native ({min(ratios):.2f} to {max(ratios):.2f})"
        )
    for n_samples in (_FEWER_SAMPLES, N_SAMPLES):
        table = n_samples * (N_FEATURES + 1) * 8 / 1e6
        print(
            f"working memory, {n_samples:>7,} samples  {working_megabytes(n_samples):7.0f} MB"
            f"  beyond a table of {table:.0f} MB"
        )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure_memory(int(sys.argv[1]))
    else:
        main()
