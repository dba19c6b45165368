"""What every part of the configuration shares."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

__all__ = ["PathText", "Section", "Words"]


def _at_home(path: str) -> str:
    """Return a path with a leading ``~`` made the home folder; the shell leaves it in a=~/b."""
    try:
        return str(Path(path).expanduser()) if path.startswith("~") else path
    except RuntimeError:
        return path


Words = Annotated[str, Field(pattern=r"\S")]
"""Text that is not blank."""
PathText = Annotated[str, Field(min_length=1), AfterValidator(_at_home)]


class Section(BaseModel):
    """A part of the configuration: frozen, nothing unknown allowed."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )
