"""What is kept of a model's training samples, to tell whether a new one is like them."""

from dataclasses import dataclass

from features.fingerprint import Fingerprints
from models.drift import DriftReference
from models.gene_reference import GeneReference
from models.shift import ShiftDetector

__all__ = ["TrainingReference"]


@dataclass(frozen=True)
class TrainingReference:
    """What is kept of the training samples.

    Attributes
    ----------
    shift
        Measures how far a sample lies from them.
    drift
        Measures how far a whole cohort's features have moved.
    fingerprints
        Recognises them under another name or unit.
    genes
        Where each gene stood in them, to hold a new sample's genes against.
    """

    shift: ShiftDetector
    drift: DriftReference
    fingerprints: Fingerprints
    genes: GeneReference
