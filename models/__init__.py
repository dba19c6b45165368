"""Features to risk, with reasons: classifier, baselines, validation, explanation."""

from models.abstaining import AbstainingClassifier
from models.abstention import RiskCoverage, coverage_table, expected_two_label_share, risk_coverage
from models.calibration import (
    BetaCalibrator,
    Calibrator,
    IsotonicCalibrator,
    PlattCalibrator,
    ShiftedCalibrator,
    fit_intercept,
    shift_intercept,
)
from models.calibration_choice import CalibrationChoice, choose_calibrator
from models.classifier import ResistanceClassifier
from models.conformal import ConformalSets, set_names
from models.resistance_model import ResistanceModel
from models.signatures import SIGNATURES, SignatureClassifier, signature_scores

__all__ = [
    "SIGNATURES",
    "AbstainingClassifier",
    "BetaCalibrator",
    "CalibrationChoice",
    "Calibrator",
    "ConformalSets",
    "IsotonicCalibrator",
    "PlattCalibrator",
    "ResistanceClassifier",
    "ResistanceModel",
    "RiskCoverage",
    "ShiftedCalibrator",
    "SignatureClassifier",
    "choose_calibrator",
    "coverage_table",
    "expected_two_label_share",
    "fit_intercept",
    "risk_coverage",
    "set_names",
    "shift_intercept",
    "signature_scores",
]
