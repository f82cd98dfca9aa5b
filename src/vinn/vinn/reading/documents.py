"""JSON and YAML from files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from vinn.errors import VinnError
from vinn.reading.regular import parsing, read_bytes, reason_of

ModelT = TypeVar("ModelT", bound=BaseModel)

MAX_YAML_BYTES = 2**19
"""PyYAML reads 100 kB a second: more than this is nobody's configuration."""
MAX_JSON_BYTES = 256 * 2**20


def read_text(path: Path, error: type[VinnError], limit_bytes: int | None = None) -> str:
    """A UTF-8 text.

    Raises:
        VinnError (as `error`): see `read_bytes`; or not UTF-8.
    """
    with parsing(path, error, "UTF-8 text"):
        return read_bytes(path, error, limit_bytes).decode("utf-8")


def read_json(path: Path, error: type[VinnError]) -> Any:
    """What a JSON file of at most `MAX_JSON_BYTES` holds.

    Raises:
        VinnError (as `error`): see `read_bytes`; or not JSON.
    """
    return parse_json(read_bytes(path, error, MAX_JSON_BYTES), path, error)


def parse_json(data: bytes | str, what: Path | str, error: type[VinnError]) -> Any:
    """What JSON holds; the message of an error begins with `what`."""
    with parsing(what, error, "JSON"):
        return json.loads(data)


def read_yaml(path: Path, error: type[VinnError]) -> Any:
    """What a YAML file of at most `MAX_YAML_BYTES` holds; no object of it is ever constructed.

    Raises:
        VinnError (as `error`): see `read_bytes`; or not YAML.
    """
    return parse_yaml(read_text(path, error, MAX_YAML_BYTES), path, error)


def parse_yaml(text: str, what: Path | str, error: type[VinnError]) -> Any:
    """What a YAML text holds; the message of an error begins with `what` and says the line."""
    with parsing(what, error, "YAML"):
        try:
            return yaml.safe_load(text)
        except yaml.YAMLError as cause:
            mark = getattr(cause, "problem_mark", None)
            where = f" in line {mark.line + 1}" if mark else ""
            problem = getattr(cause, "problem", None) or reason_of(cause)
            raise error(f"{what}: not YAML{where} ({' '.join(problem.split())})") from cause


def read_model(path: Path, model: type[ModelT], error: type[VinnError]) -> ModelT:
    """A JSON file as a pydantic model.

    Raises:
        VinnError (as `error`): see `read_bytes`; or malformed, naming file and field.
    """
    return parse_model(read_bytes(path, error, MAX_JSON_BYTES), path, model, error)


def parse_model(
    data: bytes | str, what: Path | str, model: type[ModelT], error: type[VinnError]
) -> ModelT:
    """JSON as a pydantic model; the message of an error begins with `what` and names the field."""
    with parsing(what, error, "JSON"):
        try:
            return model.model_validate_json(data)
        except ValidationError as cause:
            raise error(f"{what}: {first_problem(cause)}") from cause


def first_problem(cause: ValidationError, whole: str = "the whole file") -> str:
    """The first thing that a model refuses: where, and why; one line."""
    first = cause.errors(include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or whole
    return f"{where}: {' '.join(first['msg'].removeprefix('Value error, ').split())}"
