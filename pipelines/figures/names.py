"""What predictors are called in pages and figures."""

__all__ = ["predictor_name"]

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
