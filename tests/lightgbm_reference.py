"""LightGBM's own scikit-learn estimators with the settings of one of our ensembles' seeds."""

from typing import Any

from models.boosted import BoostedTrees


def reference_of[Kind](
    kind: type[Kind], trees: BoostedTrees, *, constraints: list[int] | None = None
) -> Kind:
    """Return an unfitted ``LGBMClassifier`` or ``LGBMRegressor`` like the first seed's model."""
    names = (
        *("n_estimators", "num_leaves", "learning_rate", "colsample_bytree", "min_child_samples"),
        *("reg_lambda", "subsample", "random_state"),
    )
    settings: dict[str, Any] = {name: getattr(trees, name) for name in names}
    return kind(
        **settings,
        subsample_freq=int(trees.subsample < 1.0),
        monotone_constraints=constraints,
        n_jobs=1,
        deterministic=True,
        force_col_wise=True,
        verbosity=-1,
    )
