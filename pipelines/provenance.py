"""What a run was made with: code, lock file, versions."""

import subprocess
from importlib import metadata
from pathlib import Path

from pipelines.ingest import file_hash

__all__ = ["code_versions", "library_requirements"]

_SERVED_WITH = (
    "anndata",
    "lightgbm",
    "mlflow",
    "numpy",
    "pandas",
    "pydantic",
    "pyyaml",
    "scikit-learn",
    "scipy",
    "shap",
    "skops",
)


def code_versions(project: Path) -> dict[str, str]:
    """Return OncoResist's version, the git commit (with ``-dirty``) and the lock file's hash.

    What cannot be told, as in an installed wheel, is ``unknown``.
    """
    lock = project / "uv.lock"
    return {
        "oncoresist_version": metadata.version("oncoresist"),
        "git_commit": _git_commit(project),
        "lock_hash": file_hash(lock) if lock.is_file() else "unknown",
    }


def _git_commit(project: Path) -> str:
    command = ["git", "-C", str(project), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()


def library_requirements() -> list[str]:
    """Return the pinned libraries that the logged model needs to load and predict."""
    return [f"{name}=={metadata.version(name)}" for name in _SERVED_WITH]
