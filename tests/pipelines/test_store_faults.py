import pytest
import requests
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED, UNAUTHENTICATED

from features.errors import ConfigError
from pipelines.store_faults import again_if_raced, refusals_told, store_fault


@pytest.fixture(autouse=True)
def ana(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ana")


def answered(status: int) -> requests.HTTPError:
    response = requests.Response()
    response.status_code = status
    return requests.HTTPError("no", response=response)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MlflowException("who?", UNAUTHENTICATED), "knows no user 'ana' with this password"),
        (answered(401), "knows no user 'ana' with this password"),
        (MlflowException("Permission denied", PERMISSION_DENIED), "user 'ana' has no permission"),
        (
            MlflowException("Invalid Host header - possible DNS rebinding", PERMISSION_DENIED),
            "must be among its --allowed-hosts",
        ),
        (OSError("refused by https://ana:secret@mlflow.example"), "does not answer: refused"),
    ],
)
def test_what_a_server_refuses_is_told_with_the_mend(error, told):
    message = store_fault("https://ana:secret@mlflow.example", error)
    assert told in message
    assert "secret" not in message


def test_only_refusals_become_messages():
    with pytest.raises(ConfigError, match="has no permission"), refusals_told():
        raise MlflowException("Permission denied", PERMISSION_DENIED)
    with pytest.raises(MlflowException, match="a fault"), refusals_told():
        raise MlflowException("a fault")
    with pytest.raises(FileNotFoundError), refusals_told():
        raise FileNotFoundError("x")


def test_a_call_that_lost_a_race_is_made_again(monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    raced = MlflowException("(IntegrityError) duplicate key value violates unique constraint")
    answers = iter([raced, raced, "logged"])

    def call() -> str:
        answer = next(answers)
        if isinstance(answer, MlflowException):
            raise answer
        return answer

    assert again_if_raced(call) == "logged"

    def fail() -> None:
        raise MlflowException("a fault")

    with pytest.raises(MlflowException, match="a fault"):
        again_if_raced(fail)
