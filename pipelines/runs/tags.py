"""The tags by which a reviewer filters runs and versions: few, and each with one meaning."""

from collections.abc import Mapping
from typing import Any

from models.sufficiency import main_sufficiency
from pipelines.config import ExperimentConfig
from pipelines.validation.headline import main_scheme

__all__ = [
    "SUFFICIENCY_TAG",
    "TAGS",
    "shared_tags",
    "sufficiency_tags",
    "training_tags",
    "verdict_tags",
    "version_tags",
]

SUFFICIENCY_TAG = "sufficiency"

TAGS: Mapping[str, str] = {
    "role": "`training` (a whole experiment), `held_out` (one cohort of it, predicted by a model "
    "that had not seen it), `scored` (a cohort that took no part), `recalibrated`",
    "setting": "`ici`, `adc`, `hcc` or `sclc`",
    "scheme": "what a training's figures hold out: cohorts (`loco`), or patients of its one cohort "
    "(`nested`)",
    "demonstration": "why nothing of a run may be used; only of runs that register nothing",
    "cohort": "the cohort of a `held_out` or `scored` run",
    "cohorts": "the cohorts trained on",
    "beats_prior": "`yes`, `no` or `not shown`: is the Brier score on cohorts held out below the "
    "class prior's (cohort-relative; *not shown*: it is, and the 95% interval reaches across)",
    "beats_gep_18": "the same of the mean AUROC beside GEP-18's",
    SUFFICIENCY_TAG: "what the data of the model can bear: `usable for ranking`, `exploratory` or "
    "`not enough data`, by the interval of its held-out AUROC, the samples and the cohorts held "
    "out (cohort-relative where it has that)",
    "gate": "the gate's last word on the version, not where an alias points now: `passed`, "
    "`provisional` (let through for want of another), `refused`, `forced`",
    "clean_code": "`yes` where the code was a commit without changes",
    "git_commit": "the code",
    "catalogue_version": "the catalogue",
    "data_hash": "one hash over every file read",
}
"""What each tag means; the experiment's description tells it."""

_VERDICTS = {"beats_prior": "brier_skill", "beats_gep_18": "difference.gep_18"}
_SHARED = (
    *("setting", "clean_code", "oncoresist_version", "git_commit"),
    *("catalogue_version", "catalogue_hash", "data_hash"),
)


def training_tags(config: ExperimentConfig, *, versions: Mapping[str, str]) -> dict[str, str]:
    """Return what a training run is known by from its start."""
    commit = versions.get("git_commit", "unknown")
    clean = commit != "unknown" and not commit.endswith("-dirty")
    return {
        "role": "training",
        "setting": config.setting,
        "scheme": config.validation.scheme,
        "clean_code": "yes" if clean else "no",
        **versions,
    }


def verdict_tags(metrics: Mapping[str, float]) -> dict[str, str]:
    """Return how the model does beside the class prior and GEP-18, where that was measured."""
    tags = {}
    scheme = main_scheme(metrics)
    for tag, figure in _VERDICTS.items():
        key = f"{scheme}.{figure}"
        if key in metrics and f"{key}_low" in metrics:
            shown = "yes" if metrics[f"{key}_low"] > 0 else "not shown"
            tags[tag] = shown if metrics[key] > 0 else "no"
    return tags


def sufficiency_tags(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return the verdict on a model's data, from its facts; nothing where none is stored."""
    found = main_sufficiency(facts)
    return {} if found is None else {SUFFICIENCY_TAG: found.verdict}


def shared_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags of a training that hold for its child runs, too."""
    return {name: tags[name] for name in _SHARED if name in tags}


def version_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags that a model version shares with its run."""
    own = (*_VERDICTS, SUFFICIENCY_TAG)
    return shared_tags(tags) | {name: tags[name] for name in own if name in tags}
