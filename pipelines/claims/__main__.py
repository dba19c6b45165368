"""Write ``docs/claims.md``: ``python -m pipelines.claims [EXPERIMENT.yaml …]``, ``make claims``."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.claims.run import write_claims
from pipelines.commands.console import say, stages, user_errors
from pipelines.config import project_folder

_EXPERIMENTS = ("ici", "adc", "hcc", "sclc")


def main(
    experiments: Annotated[
        list[Path] | None, typer.Argument(help="Experiment files; the four of conf by default.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="The page to write; docs/claims.md by default.")
    ] = None,
) -> None:
    """Hold the signs of the catalogue against the cohorts of experiments."""
    project = project_folder()
    files = experiments or [
        project / "conf" / "experiments" / f"{name}.yaml" for name in _EXPERIMENTS
    ]
    with user_errors(), stages() as progress:
        written = write_claims(
            files, output=output or project / "docs" / "claims.md", progress=progress
        )
    for path in written:
        say(str(path))


if __name__ == "__main__":
    typer.run(main)
