"""Layers of YAML: read, merged by OmegaConf, checked by pydantic, faults named with their file."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ValidationError
from yaml import MarkedYAMLError, YAMLError

from features.errors import ConfigError
from pipelines.files import is_file

__all__ = ["check_layers", "did_you_mean", "read_overrides", "read_yaml"]

Layers = Sequence[tuple[str, dict[str, Any]]]

_PLAIN_WORDS = {
    "model_type": "expected keys and values under it; give some, or take the key out",
    "tuple_type": "expected a list, such as [a, b]",
    "string_type": "expected text; put it in quotes",
}


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the keys and values of a YAML file.

    Raises
    ------
    ConfigError
        The file is missing, is not YAML, or holds no mapping.
    """
    if not is_file(path):
        raise ConfigError(f"there is no configuration file {path}; give the path of a YAML file")
    try:
        content = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    except (YAMLError, OmegaConfBaseException, OSError, ValueError) as error:
        raise ConfigError(f"{path}: not readable as YAML: {_reason(error)}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected keys and values at the top level (key: value)")
    return dict(_text_keys(content))


def read_overrides(overrides: Sequence[str]) -> dict[str, Any]:
    """Return ``a.b=value`` arguments as a nested mapping.

    Raises
    ------
    ConfigError
        An argument is not of that form.
    """
    for override in overrides:
        key, _, value = override.partition("=")
        if not value.strip("=") or "" in key.split("."):
            raise ConfigError(f"--set {override}: expected a.b=value")
        try:
            OmegaConf.to_container(OmegaConf.from_dotlist([override]), resolve=True)
        except (YAMLError, OmegaConfBaseException, ValueError) as error:
            raise ConfigError(
                f"--set {override}: '{value}' is not a YAML value: {_reason(error)}"
            ) from error
        if value.strip() == "{}":
            raise ConfigError(
                f"--set {override}: mappings are merged, so an empty one changes nothing; set the "
                "keys in it, or name another experiment file"
            )
    merged = OmegaConf.to_container(OmegaConf.from_dotlist(list(overrides)), resolve=True)
    return dict(_text_keys(merged))


def _reason(error: Exception) -> str:
    """Return what a parser complains of, in one line."""
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8 text; save it as UTF-8"
    if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"{error.problem} (line {mark.line + 1}, column {mark.column + 1})"
    first = str(error).splitlines()[0]
    key = getattr(error, "full_key", None)
    return f"{first} (key '{key}')" if key else first


def _text_keys(content: Any) -> Any:
    """Return nested mappings with every key as text: YAML reads ``3:`` and ``yes:`` otherwise."""
    if isinstance(content, dict):
        return {str(key): _text_keys(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_text_keys(value) for value in content]
    return content


def check_layers[Tree: BaseModel](tree: type[Tree], layers: Layers) -> Tree:
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
        raise ConfigError(_clash(tree, layers, error)) from error
    try:
        return tree.model_validate(content)
    except ValidationError as error:
        raise ConfigError("; ".join(_faults(tree, layers, error))) from error


def _clash(tree: type[BaseModel], layers: Layers, merging: Exception) -> str:
    """Say which layer holds a list where another holds keys: it fails the check by itself."""
    found = []
    for layer in layers:
        try:
            tree.model_validate(layer[1])
        except ValidationError as error:
            found += _faults(tree, [layer], error, without=("missing",))
    names = ", ".join(name for name, _ in layers)
    return "; ".join(found) or f"{names}: cannot be merged: {_reason(merging)}"


def _faults(
    tree: type[BaseModel],
    layers: Layers,
    error: ValidationError,
    *,
    without: Sequence[str] = (),
) -> list[str]:
    """Put every fault in words; a list is not called too short for the items that are wrong.

    Parts of a location in parentheses are the kinds of a union, no keys.
    """
    faults = [fault for fault in error.errors() if fault["type"] not in without]
    parents = {fault["loc"][:-1] for fault in faults}
    return [
        _fault(tree, layers, fault)
        for fault in faults
        if not (fault["type"] == "too_short" and fault["loc"] in parents)
    ]


def _fault(tree: type[BaseModel], layers: Layers, fault: Any) -> str:
    location = [str(part) for part in fault["loc"] if not str(part).startswith("(")]
    where = next(
        (name for name, content in reversed(layers) if _holds(content, location)), layers[-1][0]
    )
    if fault["type"] == "missing":
        where = next((name for name, _ in reversed(layers) if name != "--set"), where)
    key = ".".join(location)
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        known = _known_keys(tree, location[:-1])
        mend = did_you_mean(location[-1], known) or f"; known keys: {', '.join(known)}"
        return f"{where}: unknown key '{key}'{mend}"
    if fault["type"] == "missing":
        return f"{where}: key '{key}' is missing; add it"
    if fault["type"] == "value_error":
        return f"{where}: {message}" if key in message else f"{where}: {key}: {message}"
    value = "empty" if fault["input"] is None else repr(fault["input"])
    return f"{where}: key '{key}' is {value}: {_PLAIN_WORDS.get(fault['type'], message)}"


def _holds(content: Any, location: Sequence[str]) -> bool:
    for part in location:
        if isinstance(content, list):
            return part.isdigit() and int(part) < len(content)
        if not isinstance(content, dict) or part not in content:
            return False
        content = content[part]
    return True


def _known_keys(tree: Any, location: Sequence[str]) -> list[str]:
    """Return the keys of the section at a location; the names in a mapping of sections are free."""
    for part in location:
        if part in tree.model_fields:
            tree = _section(tree.model_fields[part].annotation)
    return list(tree.model_fields)


def _section(annotation: Any) -> Any:
    """Return the section that an annotation holds, at whatever depth."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_section(part) for part in getattr(annotation, "__args__", ()))
    return next((section for section in found if section), None)


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """Return a hint at the closest known word, empty when none is close."""
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else ""
