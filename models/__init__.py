"""Features to risk, with reasons: classifier, baselines, validation, explanation."""

from models.calibration import PlattCalibrator
from models.classifier import ResistanceClassifier
from models.resistance_model import ResistanceModel
from models.signatures import SIGNATURES, SignatureClassifier, signature_scores

__all__ = [
    "SIGNATURES",
    "PlattCalibrator",
    "ResistanceClassifier",
    "ResistanceModel",
    "SignatureClassifier",
    "signature_scores",
]
