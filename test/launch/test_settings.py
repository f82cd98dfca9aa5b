"""`--set NODE.PARAMETER=VALUE`: what the words of a value become."""

from __future__ import annotations

import pytest
import yaml
from vinn.errors import ConfigError
from vinn_ros.bringup.graph import door_opening, with_settings


def supervisor_parameters(*settings: str) -> dict[str, object]:
    specs = with_settings(door_opening("sim", "policy"), settings)
    return dict(next(s.parameters for s in specs if s.name == "rollout_supervisor"))


@pytest.mark.parametrize("word", ["off", "on", "Yes", "no"])
def test_a_word_stays_a_word_on_its_way_to_the_node(word: str) -> None:
    assert supervisor_parameters(f"rollout_supervisor.sign_check={word}")["sign_check"] == word
    specs = with_settings(door_opening("sim", "policy"), [f"rollout_supervisor.sign_check={word}"])
    spec = next(s for s in specs if s.name == "rollout_supervisor")
    written = next(a for a in spec.ros_arguments() if a.startswith("sign_check:="))
    assert yaml.safe_load(written.removeprefix("sign_check:=")) == word


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("3", 3), ("0.5", 0.5), ("every", "every"), ("", "")]
)
def test_other_values_are_yaml(text: str, value: object) -> None:
    found = supervisor_parameters(f"rollout_supervisor.sign_check={text}")["sign_check"]
    assert found == value
    assert type(found) is type(value)


def test_what_is_no_yaml_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"--set rollout_supervisor\.sign_check=.*not YAML"):
        supervisor_parameters("rollout_supervisor.sign_check=[")
