import shutil
import socket

import pytest

from features.errors import ConfigError
from pipelines.serve import serve_ui, ui_command
from pipelines.tracking import Store, default_store, open_store


def test_a_taken_port_and_a_missing_store_are_named(tmp_path, empty_store):
    store = default_store(tmp_path, uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    with pytest.raises(ConfigError, match="there is no MLflow store"):
        serve_ui(store, port=5000)
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    open_store(store, experiment="x")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"port {port} .* choose another with --port"):
            serve_ui(store, port=port)


def test_the_ui_is_served_on_this_machine_only():
    command = ui_command(Store("sqlite:////x/mlflow.db", "file:///x/artifacts"), port=5001)
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert command[command.index("--default-artifact-root") + 1] == "file:///x/artifacts"


def test_a_server_is_named_and_not_served_again():
    told: list[str] = []
    store = Store("https://ana:secret@mlflow.example", None)
    with pytest.raises(ConfigError, match=r"server: open https://…@mlflow\.example in a browser"):
        serve_ui(store, port=5000, begin=told.append)
    assert told == []
