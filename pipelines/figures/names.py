"""What predictors are called in pages and figures."""

__all__ = ["predictor_name", "timepoint_kind", "timepoint_name"]

_NAMES = {
    "gep_18": "GEP-18",
    "ifng_6": "IFN-γ-6",
    "impres": "IMPRES",
    "cytolytic": "cytolytic activity",
    "tls": "TLS",
    "tgf_beta": "TGF-β",
    "pdl1": "PD-L1",
    "pd1": "PD-1",
    "ctla4": "CTLA-4",
    "cd8": "CD8",
    "tide": "TIDE",
    "prior": "class prior",
    "clinical": "clinical covariates alone",
    "combined": "markers and clinical covariates",
    "all_genes": "LightGBM on all genes",
    "unsigned": "the same without signs",
    "cells": "cell-level model",
    "bulk_model": "bulk model on pseudobulk",
}
_SINGLE = "marker_"
_OF_MARKERS = {
    "pre": "before treatment",
    "on": "on treatment",
    "change": "change, on minus before",
    "pre_and_change": "before treatment, and change",
    "pre_unsigned": "before treatment, without signs",
    "pre_all_patients": "before treatment, all patients",
}
_WHEN = {"pre": "before treatment", "on": "on treatment", "change": "change"}


def predictor_name(predictor: str) -> str:
    """Return the name of a predictor by its id, which it keeps where it has no other.

    Examples
    --------
    >>> predictor_name("gep_18"), predictor_name("model")
    ('GEP-18', 'model')
    """
    if predictor.startswith(_SINGLE):
        return f"{predictor.removeprefix(_SINGLE).replace('_', ' ')} alone"
    return _NAMES.get(predictor, predictor)


def timepoint_name(predictor: str) -> str:
    """Return what a predictor of :mod:`pipelines.validation.on_treatment` is called.

    Examples
    --------
    >>> timepoint_name("change"), timepoint_name("gep_18_on")
    ('change, on minus before', 'GEP-18, on treatment')
    """
    if predictor in _OF_MARKERS:
        return _OF_MARKERS[predictor]
    score, _, when = predictor.rpartition("_")
    return f"{predictor_name(score)}, {_WHEN[when]}" if when in _WHEN else predictor_name(predictor)


def timepoint_kind(predictor: str) -> str:
    """Return whether such a predictor is a ``model`` of markers or a ``score`` that is not fitted.

    Examples
    --------
    >>> timepoint_kind("change"), timepoint_kind("gep_18_on"), timepoint_kind("prior")
    ('model', 'score', 'score')
    """
    return "model" if predictor in _OF_MARKERS else "score"
