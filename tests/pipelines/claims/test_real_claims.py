"""The command on the four experiments: every signed feature has a row, the page is as committed."""

from pathlib import Path

import pandas as pd
import pytest

from features.catalogue import Catalogue
from features.catalogue_entries import SETTINGS
from pipelines.claims import run
from pipelines.claims.page import SettingClaims

PROJECT = Path(__file__).resolve().parents[3]

pytestmark = [pytest.mark.real_data, pytest.mark.slow]


@pytest.fixture(scope="module")
def written(
    shared: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, pd.DataFrame]]:
    """Return the page that the command writes, and the table of each setting."""
    tables: dict[str, pd.DataFrame] = {}

    def kept(file: Path, **more: object) -> SettingClaims:
        found = weigh(file, **more)
        tables[found.setting] = found.table
        return found

    page = tmp_path_factory.mktemp("claims") / "claims.md"
    weigh = run.weigh_claims
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "weigh_claims", kept)
        files = [PROJECT / "conf" / "experiments" / f"{name}.yaml" for name in SETTINGS]
        paths = run.write_claims(files, output=page)
    assert all(path.stat().st_size > 0 for path in paths)
    assert len(paths) == 1 + len(SETTINGS)
    return page, tables


def test_every_signed_feature_of_each_setting_has_a_row(
    written: tuple[Path, dict[str, pd.DataFrame]], catalogue: Catalogue
) -> None:
    page, tables = written
    text = page.read_text("utf-8")
    names = {marker.id: marker.name for marker in catalogue.markers}
    for setting in SETTINGS:
        signed = {name for name, sign in catalogue.signs(setting).items() if sign}
        for _, part in tables[setting].groupby("evidence"):
            assert signed <= set(part["feature"])
        section = text.split(f"\n## {setting}: ")[1].split("\n## ")[0]
        for name in signed:
            assert f"\n| {names[name]}" in section


def test_the_committed_page_is_what_the_files_give(
    written: tuple[Path, dict[str, pd.DataFrame]],
) -> None:
    assert (PROJECT / "docs" / "claims.md").read_text("utf-8") == written[0].read_text("utf-8")


def test_patients_hold_the_inflamed_signs_and_oppose_the_regulatory_one(
    written: tuple[Path, dict[str, pd.DataFrame]],
) -> None:
    ici = written[1]["ici"].set_index("feature")
    assert set(ici["evidence"]) == {"9 cohorts pooled"}
    for name in ("t_cell_inflamed", "interferon_gamma", "stem_like_memory", "mhc_class_i"):
        assert ici.loc[name, "verdict"] == "holds"
    assert ici.loc["treg", "verdict"] == "opposes"
    assert (ici["n"] <= 424).all()


def test_screens_test_nothing_that_cell_lines_have_not(
    written: tuple[Path, dict[str, pd.DataFrame]],
) -> None:
    adc = written[1]["adc"]
    lines = adc[adc["unit"] == "cell lines"].set_index("feature")
    assert (lines.loc["tim3", "verdict"] == "not testable in cell lines").all()
    assert adc.set_index("evidence").loc["brca_trastuzumab", "unit"].eq("patients").all()
