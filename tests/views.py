"""Read MLflow's saved views back, as its UI does."""

import base64
import json
import zlib
from typing import Any


def read_view(tag: str) -> dict[str, Any]:
    """Return the state that an experiment's tag of a saved view holds."""
    how, _, packed = json.loads(tag)["state"].partition(";")
    assert how == "deflate"
    return dict(json.loads(zlib.decompress(base64.b64decode(packed))))
