"""What a model card says of drug screens, from the run's tables."""

from pathlib import Path

import pandas as pd
import yaml

from features.catalogue import Catalogue
from pipelines.reports.templates import page_environment
from pipelines.reports.validation import RunRecord
from pipelines.screens.card import screen_facts
from pipelines.screens.run import Screens, screen_tables


def record_of(folder: Path, tables: dict[str, pd.DataFrame]) -> RunRecord:
    (folder / "tables").mkdir()
    (folder / "config").mkdir()
    screens = {"n_repeats": 1, "n_splits": 5, "permutations": 2, "tissues": ["liver"]}
    (folder / "config" / "resolved.yaml").write_text(yaml.safe_dump({"screens": screens}))
    for name, table in tables.items():
        table.to_parquet(folder / "tables" / f"{name}.parquet")
    return RunRecord(folder, {}, {})


def test_a_transfer_to_patients_has_an_auroc_alone(catalogue: Catalogue, tmp_path: Path) -> None:
    empty = pd.DataFrame(columns=["cohort", "other", "itself"])
    evidence = pd.DataFrame(columns=["kind", "cohort", "other", "drug", "n", "rho", "low", "high"])
    genes = pd.DataFrame(columns=["cohort", "drug", "gene", "n", "rho", "low", "high"])
    screens = Screens((), (), evidence.assign(verdict=""), empty, genes, {"one": ["abcb1"]}, ())
    tables = screen_tables(screens, mechanisms={})
    keys = {"train": "one/a", "test": "patients", "n_train": 40, "n_test": 9, "shared": 0}
    row = {**keys, "genes": 90, "features": 8, "metric": "auroc", "value": 0.4}
    tables["transfers"] = pd.DataFrame([row | {"low": 0.1, "high": 0.8}])
    tables["screen_tissues"] = pd.DataFrame(columns=["tissue", "rho", "low", "high"])
    record = record_of(tmp_path, tables)
    facts = screen_facts(record, catalogue=catalogue, notes=("a doubt",))
    template = page_environment(html=False).get_template("screens_part.md.j2")
    page = template.render(screens=facts, config=record.config)
    assert (
        "| one/a | patients | 40 | 9 | 0 | 90 | 8 | – | – | 0.40 (0.10 to 0.80) | – | – |" in page
    )
    assert "**a doubt**" in page
    assert (
        "one: 1 features of the setting cannot be scored from its genes (drug efflux: abcb1)"
        in page
    )
