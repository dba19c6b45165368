"""Whether a line's expression is that line's, by its other data set."""

import numpy as np
import pandas as pd

from pipelines.screens.identity import COLUMNS, identity_doubts, line_identities
from pipelines.screens.task import Task
from tests.screens import Screen, line_names, make_screen, task_of


def mixed_up(screen: Screen, *, count: int) -> Screen:
    """Return the screen with the expression of its first lines under one another's names."""
    names = list(screen.expression.index)
    names[:count] = names[1:count] + names[:1] * bool(count)
    return Screen(screen.expression.set_axis(names).loc[screen.expression.index], screen.responses)


def two_sets(*, count: int = 0, overlap: int = 20) -> list[Task]:
    one = mixed_up(make_screen(line_names(40), seed=1), count=count)
    two = make_screen(line_names(40, start=40 - overlap), seed=2)
    return [task_of(one, cohort="one"), task_of(two, cohort="two")]


def test_lines_under_their_own_names_are_most_like_themselves() -> None:
    found = line_identities(two_sets())
    assert list(found.columns) == COLUMNS
    assert len(found) == 20
    assert found["itself"].all()
    assert (found["own"] > 0.7).all()
    assert identity_doubts(found) == []


def test_shuffled_names_are_found_and_named() -> None:
    found = line_identities(two_sets(count=30))
    assert found["itself"].sum() == 10
    (doubt,) = identity_doubts(found)
    assert "only 10 of the 20 lines that 'one' and 'two' share are most like themse" in doubt
    assert "is most like SIM-0" in doubt
    assert "put them right under renamed in the cohort's YAML" in doubt
    wrong = found[~found["itself"]]
    # A name stands over the expression of the one before it.
    places = wrong[["line", "most_like"]].map(lambda name: int(name.removeprefix("SIM-")))
    ahead = places["line"] - places["most_like"]
    assert (ahead.iloc[1:] == 1).all()


def test_a_few_wrong_names_are_listed_without_a_doubt() -> None:
    found = line_identities(two_sets(count=24))
    assert found["itself"].sum() in (16, 17)
    assert identity_doubts(found) == []


def test_the_correlations_are_numpys_on_z_scores() -> None:
    tasks = two_sets()
    z = []
    for task in tasks:
        table = pd.DataFrame(task.adata.X, task.samples["line"], task.adata.var_names)
        z.append((table - table.mean()) / table.std(ddof=0))
    found = line_identities(tasks).set_index("line")
    for line in found.index[:3]:
        expected = np.corrcoef(z[0].loc[line], z[1].loc[line])[0, 1]
        np.testing.assert_allclose(found.loc[line, "own"], expected)


def test_few_lines_few_genes_and_one_file_are_not_compared() -> None:
    assert line_identities(two_sets(overlap=4)).empty
    one, two = two_sets()
    poor = Task("poor", "all", two.adata[:, :40].copy(), two.samples, scaled=False)
    assert line_identities([one, poor]).empty
    same = Task("same", "all", one.adata[5:30].copy(), one.samples.iloc[5:30], scaled=False)
    assert line_identities([one, same]).empty
    assert identity_doubts(line_identities([one])) == []
