"""The first page of a training run: what was held out, and how everyone did."""

import pandas as pd

from pipelines.headline import headline_rows, verdict

__all__ = ["run_description"]


def run_description(samples: pd.DataFrame, comparison: pd.DataFrame) -> str:
    """Return the run's description in Markdown."""
    labelled = samples["resistant"].notna()
    nested = comparison[
        (comparison["scheme"] == "nested")
        & (comparison["metric"] == "auroc")
        & (comparison["cohort"] == "mean")
    ]
    inside = ", ".join(
        f"{row.standardisation}-relative {row.value:.3f} ({row.low:.3f} to {row.high:.3f})"
        for row in nested.itertuples()
    )
    lines = [
        f"**Research use only.** {verdict(comparison)}",
        "",
        "Each cohort predicted by a model that had not seen it, chosen and calibrated without it; "
        "resistant is the positive class. AUROC: mean over cohorts, 95% interval over patients. "
        "Brier score and expected calibration error (ECE): pooled; a model worth its "
        "probabilities lies below `prior`, the training share of resistant samples.",
        "",
        f"{int(labelled.sum())} labelled samples of {samples['cohort'].nunique()} cohorts.",
        "",
        "| predictor | AUROC, cohort-relative | Brier | ECE "
        "| AUROC, reference-relative | Brier | ECE |",
        "|---|---|---|---|---|---|---|",
        *(f"| {' | '.join(row)} |" for row in headline_rows(comparison)),
        "",
        f"Patient-grouped folds, in which every cohort is trained on too: AUROC {inside}.",
        "",
        "The whole validation: artifact `validation.md`. Figures: `figures/` and `shap/`; one "
        "child run a held-out cohort.",
    ]
    return "\n".join(lines)
