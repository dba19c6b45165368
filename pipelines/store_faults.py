"""What an MLflow store refuses, in words that say how to mend it."""

import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.utils.credentials import read_mlflow_creds

from features.errors import ConfigError

__all__ = ["again_if_raced", "lost_race", "refusals_told", "store_fault", "without_password"]

_UNKNOWN, _FORBIDDEN = 401, 403
_RACED = re.compile(r"IntegrityError|duplicate key|UNIQUE constraint|Giving up after")
_PAUSES = (0.1, 0.2, 0.4, 0.8, 1.6)
_CREDENTIALS = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"


def without_password(uri: str) -> str:
    """Return a store's URI as it may be shown.

    Examples
    --------
    >>> without_password("postgresql+pg8000://team:secret@db:5432/mlflow")
    'postgresql+pg8000://…@db:5432/mlflow'
    """
    return re.sub(r"//[^/@\s]*@", "//…@", uri)


@contextmanager
def refusals_told() -> Iterator[None]:
    """Turn a server's refusal of the user into one message; other errors pass.

    Raises
    ------
    ConfigError
        The server does not know the user, or does not allow this.
    """
    try:
        yield
    except (MlflowException, OSError) as error:
        if _status(error) not in (_UNKNOWN, _FORBIDDEN):
            raise
        raise ConfigError(store_fault(mlflow.get_tracking_uri(), error)) from error


def lost_race(error: MlflowException) -> bool:
    """Return whether the database turned a call away, as another wrote the same row just then."""
    return bool(_RACED.search(str(error)))


def again_if_raced[Result](call: Callable[[], Result]) -> Result:
    """Return what a call of MLflow returns; make it again where it lost a race.

    MLflow looks whether a row is there and then writes it. Of two trainings that log the same
    dataset, register a version or set the same alias in one moment, the second is turned away by
    the database, and nothing of its call stays. Once more, it finds the row of the first.
    """
    for pause in _PAUSES:
        try:
            return call()
        except MlflowException as error:
            if not lost_race(error):
                raise
        time.sleep(random.uniform(0.5, 1.5) * pause)
    return call()


def store_fault(uri: str, error: Exception) -> str:
    """Return what a store's error means, and the mend.

    Parameters
    ----------
    uri
        Of the store; a password in it is not shown.
    error
        As MLflow or the network raised it.
    """
    server, status, user = without_password(uri), _status(error), read_mlflow_creds().username
    if status == _UNKNOWN and not user:
        return f"the MLflow server {server} asks who you are; set {_CREDENTIALS}"
    if status == _UNKNOWN:
        return (
            f"the MLflow server {server} knows no user '{user}' with this password; check "
            f"{_CREDENTIALS}"
        )
    if status == _FORBIDDEN and "Host header" in str(error):
        return (
            f"the MLflow server {server} does not answer to this name; it must be among its "
            "--allowed-hosts"
        )
    if status == _FORBIDDEN:
        return (
            f"user '{user or 'unknown'}' has no permission for this on the MLflow server "
            f"{server}: to score and look takes READ, to train and promote EDIT on the experiment "
            "and the registered model; ask who administers it"
        )
    return (
        f"the MLflow store {server} does not answer: {without_password(str(error))}; check "
        "tracking.uri and MLFLOW_TRACKING_URI"
    )


def _status(error: Exception) -> int | None:
    """Return the HTTP status of an error of the REST or the artifact service."""
    if isinstance(error, MlflowException):
        return int(error.get_http_status_code())
    response = getattr(error, "response", None)
    return None if response is None else int(response.status_code)
