"""What a run was made with: code, lock file, versions."""

import subprocess
from importlib import metadata
from pathlib import Path

from pipelines.ingest import file_hash

__all__ = ["code_versions", "library_requirements"]

_CHECKOUT = Path(__file__).resolve().parent.parent
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


def code_versions() -> dict[str, str]:
    """Return OncoResist's version, its git commit (with ``-dirty``) and its lock file's hash.

    What cannot be told, as in an installed wheel, is ``unknown``.
    """
    lock = _CHECKOUT / "uv.lock"
    return {
        "oncoresist_version": metadata.version("oncoresist"),
        "git_commit": _git_commit() if lock.is_file() else "unknown",
        "lock_hash": file_hash(lock) if lock.is_file() else "unknown",
    }


def _git_commit() -> str:
    try:
        commit = _git("rev-parse", "HEAD")
        return f"{commit}-dirty" if _git("status", "--porcelain") else commit
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(_CHECKOUT), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    return done.stdout.strip()


def library_requirements() -> list[str]:
    """Return the pinned libraries that the logged model needs to load and predict."""
    return [f"{name}=={metadata.version(name)}" for name in _SERVED_WITH]
