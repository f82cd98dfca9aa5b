"""Reading a YAML file into a pydantic model, with one-line errors."""

from __future__ import annotations

import reprlib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from vinn.errors import ConfigError
from vinn.reading.documents import read_yaml

Model = TypeVar("Model", bound=BaseModel)


class Settings(BaseModel):
    """Base of every model that a file fills: frozen, no unknown keys, finite numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def read_mapping(path: Path | str) -> dict[str, Any]:
    """The mapping in a YAML file; an empty file is an empty mapping.

    Raises:
        ConfigError: the file is missing, not YAML, or not a mapping.
    """
    path = Path(path)
    content = read_yaml(path, ConfigError)
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: holds a {type(content).__name__}; allowed: a mapping of keys")
    return content


def validated(model: type[Model], content: Any, where: str) -> Model:
    """`content` as a `model`; the first problem becomes a one-line `ConfigError`."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "(whole file)"
        if first["type"] == "extra_forbidden":
            raise ConfigError(
                f"{where}: unknown key {key} = {_short(first['input'])}; "
                f"allowed here: {_known_keys(model, first['loc'][:-1])}"
            ) from error
        message = first["msg"].removeprefix("Value error, ")
        value = "" if first["type"] == "missing" else f" = {_short(first['input'])}"
        raise ConfigError(f"{where}: {key}{value}: {message}") from error


def load_config(path: Path | str, model: type[Model]) -> Model:
    """Read a YAML file into `model`; what the file leaves out keeps its default.

    Raises:
        ConfigError: one line naming file, key, value and what is allowed.
    """
    return validated(model, read_mapping(path), str(path))


def _short(value: Any) -> str:
    # Not repr: YAML's aliases can make a short file's value endless.
    text = reprlib.repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _known_keys(model: type[BaseModel], location: tuple[int | str, ...]) -> str:
    current: Any = model
    for part in location:
        field = getattr(current, "model_fields", {}).get(part)
        if field is None:
            return "see the file's schema"
        current = field.annotation
    known = getattr(current, "model_fields", None)
    return ", ".join(known) if known else "see the file's schema"


def load_preset(name_or_path: str, model: type[Model], folder: Path) -> Model:
    """Read a preset `NAME.yaml` of a folder by its name, or any YAML file by its path.

    Raises:
        ConfigError: no such preset or file, an unknown key, or a value out of range.
    """
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        path = folder / f"{name_or_path}.yaml"
        known = sorted(file.stem for file in folder.glob("*.yaml"))
        if name_or_path not in known:
            raise ConfigError(
                f"preset '{name_or_path}' is unknown; known: {', '.join(known)}, or a .yaml file"
            )
    return load_config(path, model)
