"""Layers of YAML: read, merged by OmegaConf, checked by pydantic, faults named with their file."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ValidationError
from yaml import YAMLError

from features.errors import ConfigError

__all__ = ["check_layers", "did_you_mean", "read_overrides", "read_yaml"]


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the keys and values of a YAML file.

    Raises
    ------
    ConfigError
        The file is missing, is not YAML, or holds no mapping.
    """
    if not path.is_file():
        raise ConfigError(f"there is no configuration file {path}; give the path of a YAML file")
    try:
        content = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    except (YAMLError, OmegaConfBaseException, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not readable as YAML: {error}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected keys and values at the top level")
    return {str(key): value for key, value in content.items()}


def read_overrides(overrides: Sequence[str]) -> dict[str, Any]:
    """Return ``a.b=value`` arguments as a nested mapping.

    Raises
    ------
    ConfigError
        An argument is not of that form.
    """
    for override in overrides:
        if "=" not in override.strip("="):
            raise ConfigError(f"--set {override}: expected a.b=value")
    try:
        content = OmegaConf.to_container(OmegaConf.from_dotlist(list(overrides)), resolve=True)
    except (YAMLError, OmegaConfBaseException, ValueError) as error:
        raise ConfigError(f"--set {' '.join(overrides)}: {error}") from error
    return {str(key): value for key, value in dict(content).items()}


def check_layers[Tree: BaseModel](
    tree: type[Tree], layers: Sequence[tuple[str, dict[str, Any]]]
) -> Tree:
    """Return the layers merged (later ones win) and checked against a pydantic tree.

    Raises
    ------
    ConfigError
        Each fault with the file it stands in, the key and the mend.
    """
    try:
        merged = OmegaConf.merge(*(OmegaConf.create(content) for _, content in layers))
        content = OmegaConf.to_container(merged, resolve=True)
    except (OmegaConfBaseException, ValueError, TypeError) as error:
        names = ", ".join(name for name, _ in layers)
        raise ConfigError(f"{names}: cannot be merged: {error}") from error
    try:
        return tree.model_validate(content)
    except ValidationError as error:
        faults = [_fault(tree, layers, fault) for fault in error.errors()]
        raise ConfigError("; ".join(faults)) from error


def _fault(tree: type[BaseModel], layers: Sequence[tuple[str, dict[str, Any]]], fault: Any) -> str:
    location = [str(part) for part in fault["loc"]]
    where = next(
        (name for name, content in reversed(layers) if _holds(content, location)), layers[-1][0]
    )
    if fault["type"] == "missing":
        where = next((name for name, _ in reversed(layers) if name != "--set"), where)
    key = ".".join(location) or "the file"
    if fault["type"] == "extra_forbidden":
        known = _known_keys(tree, location[:-1])
        mend = did_you_mean(location[-1], known) or f"; known keys: {', '.join(known)}"
        return f"{where}: unknown key '{key}'{mend}"
    if fault["type"] == "missing":
        return f"{where}: key '{key}' is missing; add it"
    return f"{where}: key '{key}' is {fault['input']!r}: {fault['msg']}"


def _holds(content: Any, location: Sequence[str]) -> bool:
    for part in location:
        if isinstance(content, list):
            return part.isdigit() and int(part) < len(content)
        if not isinstance(content, dict) or part not in content:
            return False
        content = content[part]
    return True


def _known_keys(tree: Any, location: Sequence[str]) -> list[str]:
    for part in location:
        annotation = tree.model_fields[part].annotation
        options = [annotation, *getattr(annotation, "__args__", ())]
        tree = next(
            option
            for option in options
            if isinstance(option, type) and issubclass(option, BaseModel)
        )
    return list(tree.model_fields)


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """Return a hint at the closest known word, empty when none is close."""
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else ""
