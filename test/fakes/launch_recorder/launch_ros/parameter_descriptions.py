"""Parameter values."""

from dataclasses import dataclass
from typing import Any


@dataclass
class ParameterValue:
    """A value whose type is given, not guessed from the text."""

    value: Any
    value_type: type
