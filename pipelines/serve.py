"""The MLflow UI as a process of its own."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable

from features.errors import ConfigError
from pipelines.store_faults import without_password
from pipelines.tracking import Store, open_store

__all__ = ["serve_ui", "ui_command"]

_GRACE_SECONDS = 15


def ui_command(store: Store, *, port: int) -> list[str]:
    """Return the command that serves a store's UI on the loopback address."""
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store.uri]
    if store.artifacts:
        command += ["--default-artifact-root", store.artifacts]
    return [*command, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]


def serve_ui(
    store: Store, *, port: int, begin: Callable[[str], None] = lambda address: None
) -> int:
    """Serve the UI until it is interrupted or ended; return the exit code.

    Parameters
    ----------
    store
        A local store or a database; what is a server already is only named.
    port
        On the loopback address.
    begin
        Told the address once nothing stands in the way.

    Raises
    ------
    ConfigError
        The store is a server, there is no store, or the port is taken.
    """
    if store.uri.startswith(("http://", "https://")):
        raise ConfigError(
            f"the store in use is an MLflow server: open {without_password(store.uri)} in a "
            "browser; to look at a local store, take MLFLOW_TRACKING_URI and tracking.uri away"
        )
    open_store(store)
    _refuse_taken(port)
    begin(f"http://127.0.0.1:{port}")
    server = subprocess.Popen(ui_command(store, port=port), start_new_session=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        return server.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        _end(server)


def _refuse_taken(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ConfigError(
                f"port {port} on this machine cannot be used ({error.strerror}); choose another "
                "with --port"
            ) from error


def _end(server: "subprocess.Popen[bytes]") -> None:
    """End the server with all its workers."""
    if server.poll() is not None:
        return
    os.killpg(server.pid, signal.SIGTERM)
    try:
        server.wait(timeout=_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, signal.SIGKILL)
