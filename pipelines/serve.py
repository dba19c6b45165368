"""The MLflow UI as a process of its own."""

import subprocess
import sys

from pipelines.tracking import Store, open_store

__all__ = ["serve_ui", "ui_command"]


def ui_command(store: Store, *, port: int) -> list[str]:
    """Return the command that serves a store's UI on the loopback address."""
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store.uri]
    if store.artifacts:
        command += ["--default-artifact-root", store.artifacts]
    return [*command, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]


def serve_ui(store: Store, *, port: int) -> int:
    """Serve the UI until it is interrupted; return the exit code."""
    open_store(store)
    try:
        return subprocess.run(ui_command(store, port=port), check=False).returncode
    except KeyboardInterrupt:
        return 0
