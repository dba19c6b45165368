"""A team's MLflow server as docs/server.md says, on this machine: PostgreSQL, basic authentication.

Commands and files are the page's own, with its names, ports and folders replaced.
"""

import os
import pwd
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pg8000.native

__all__ = ["TeamServer", "documented", "free_port", "postgres_folder", "team_server", "wait_for"]

_PAGE = Path(__file__).resolve().parents[2] / "docs" / "server.md"
_START_SECONDS = 120


@dataclass(frozen=True)
class TeamServer:
    """A server that is starting: where it answers, what its database is, where artifacts lie."""

    address: str
    database: str
    artifacts: Path
    log: Path

    def as_user(self, name: str, password: str | None = None) -> dict[str, str]:
        """Return the variables with which a user works."""
        return {
            "MLFLOW_TRACKING_URI": self.address,
            "MLFLOW_TRACKING_USERNAME": name,
            "MLFLOW_TRACKING_PASSWORD": password or f"password-of-{name}",
        }

    def query(self, statement: str) -> list[tuple[object, ...]]:
        """Return the rows of a statement on the tracking database."""
        with _connected(self.database) as database:
            return [tuple(row) for row in database.run(statement) or []]


def documented(language: str, *, holds: str) -> str:
    """Return the block of the page in a language that holds a text."""
    blocks = re.findall(rf"```{language}\n(.*?)```", _PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (found,) = [block for block in blocks if holds in block]
    return str(found)


def free_port() -> int:
    """Return a port of the loopback address that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def postgres_folder() -> Path | None:
    """Return where PostgreSQL's programs lie: Debian's newest, else those of the path."""
    debian = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda file: int(file.parts[-3])
    )
    found = debian[-1] if debian else shutil.which("initdb")
    return Path(found).resolve().parent if found else None


def wait_for(address: str, *, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Return once an MLflow server answers."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"{address}/health", timeout=2)
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.2)
        else:
            return
    raise RuntimeError(f"the MLflow server did not start: {log.read_text()[-2000:]}")


@contextmanager
def team_server() -> Iterator[tuple[TeamServer, "subprocess.Popen[bytes]"]]:
    """Start PostgreSQL and the server, and end both; the server may still be starting."""
    with tempfile.TemporaryDirectory(prefix="oncoresist-team-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with _postgres(folder) as database:
            port = free_port()
            replaced = {
                "5000": str(port),  # before others, whose values may hold it
                "postgresql+pg8000://mlflow:database-password@db.example:5432": database,
                "/srv/mlflow/artifacts": str(folder / "artifacts"),
                "/etc/mlflow/auth.ini": str(folder / "auth.ini"),
            }
            (folder / "auth.ini").write_text(_with(documented("ini", holds="auth_cache"), replaced))
            (folder / "auth.ini").chmod(0o600)
            variables, command = _server_command(replaced)
            log = folder / "server.log"
            with log.open("w") as output:
                process = subprocess.Popen(
                    command,
                    env={**os.environ, **variables},
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    cwd=folder,
                )
            try:
                address = f"http://127.0.0.1:{port}"
                yield TeamServer(address, f"{database}/mlflow", folder / "artifacts", log), process
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, 9)
                    process.wait(timeout=30)


def _with(text: str, replaced: Mapping[str, str]) -> str:
    for old, new in replaced.items():
        text = text.replace(old, new)
    return text


def _server_command(replaced: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Return the variables and the command of the page's server."""
    text = documented("console", holds="mlflow server").replace("\\\n", " ")
    words = shlex.split(_with(text, replaced))
    split = words.index("uv")
    variables = dict(word.split("=", 1) for word in words[:split] if word != "export")
    assert words[split : split + 3] == ["uv", "run", "mlflow"]
    return variables, [sys.executable, "-m", "mlflow", *words[split + 3 :]]


@contextmanager
def _postgres(folder: Path) -> Iterator[str]:
    """Yield the URI of a PostgreSQL with the page's role and databases; it ends with the block."""
    programs = postgres_folder()
    assert programs is not None
    data, secret, port = folder / "data", folder / "password", free_port()
    data.mkdir()
    secret.write_text("database-password\n")
    owner = _unprivileged_user()
    if owner:  # PostgreSQL refuses to run as root
        shutil.chown(data, owner)
        shutil.chown(secret, owner)
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"

    def run(program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(programs / program), "-D", str(data), *arguments],
            user=owner,
            group=None if owner is None else _group_of(owner),
            extra_groups=None if owner is None else [],
            cwd=data,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stderr.decode()}")

    run("initdb", "-U", "mlflow", f"--pwfile={secret}", "-A", "scram-sha-256", "-E", "UTF8")
    run("pg_ctl", "-w", "-l", str(data / "log"), "-o", options, "start")
    try:
        uri = f"postgresql+pg8000://mlflow:database-password@127.0.0.1:{port}"
        with _connected(f"{uri}/postgres") as database:
            for name in ("mlflow", "mlflow_auth"):
                database.run(f"CREATE DATABASE {name}")
        yield uri
    finally:
        run("pg_ctl", "-w", "-m", "immediate", "stop")


@contextmanager
def _connected(uri: str) -> Iterator[pg8000.native.Connection]:
    parts = urllib.parse.urlsplit(uri)
    connection = pg8000.native.Connection(
        parts.username,
        host=parts.hostname,
        port=parts.port,
        password=parts.password,
        database=parts.path.removeprefix("/"),
    )
    try:
        yield connection
    finally:
        connection.close()


def _unprivileged_user() -> str | None:
    """Return the user to start PostgreSQL as, None for ourselves."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


def _group_of(user: str) -> int:
    return pwd.getpwnam(user).pw_gid
