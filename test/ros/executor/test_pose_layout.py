"""The vector on joint_pose_cmd: its order by tool, every entry filled, units there and back."""

from __future__ import annotations

import sys
import types
from enum import IntEnum
from types import SimpleNamespace

import pytest
from vinn.errors import ConfigError, RobotError
from vinn.robot.types import JointCommand
from vinn_ros.drivers.pose_command import (
    DEFAULT_LAYOUT,
    GRIPPER_UNITS,
    PoseLayout,
    layout_of_tool,
)

COMMAND = JointCommand(
    lift_m=0.6,
    arm_m=0.2,
    wrist_yaw_rad=0.1,
    wrist_pitch_rad=-0.2,
    wrist_roll_rad=0.3,
    gripper_aperture_m=0.05,
    base_translate_m=0.01,
)
HEAD = {"head_pan": 0.5, "head_tilt": -0.5}
YAW_ONLY = tuple(entry for entry in DEFAULT_LAYOUT if entry not in ("wrist_pitch", "wrist_roll"))


@pytest.mark.parametrize("unit", GRIPPER_UNITS)
def test_encoding_and_decoding_are_inverse(unit: str) -> None:
    layout = PoseLayout(DEFAULT_LAYOUT, unit)
    values = layout.encode(COMMAND, HEAD)
    assert len(values) == 10
    decoded = layout.decode(values)
    assert vars(decoded) == pytest.approx(vars(COMMAND))


def test_the_units_of_the_gripper() -> None:
    in_unit = {u: PoseLayout(DEFAULT_LAYOUT, u).encode(COMMAND, HEAD)[7] for u in GRIPPER_UNITS}
    assert in_unit["percent"] == pytest.approx(0.05 * 70 / 0.09)
    assert in_unit["finger_rad"] == pytest.approx(0.05 / 2 / 0.171)
    assert in_unit["aperture_m"] == 0.05


def test_a_head_that_is_not_known_is_not_driven_to_zero() -> None:
    with pytest.raises(RobotError, match="joint_head_tilt"):
        PoseLayout(DEFAULT_LAYOUT, "finger_rad").encode(COMMAND, {"head_pan": 0.0})


def test_a_tool_that_only_yaws_has_no_entries_for_the_rest() -> None:
    layout = PoseLayout(YAW_ONLY, "finger_rad")
    decoded = layout.decode(layout.encode(COMMAND, HEAD))
    assert (decoded.wrist_yaw_rad, decoded.wrist_pitch_rad) == (0.1, 0.0)


@pytest.mark.parametrize(
    ("entries", "named"),
    [
        (("arm", "arm", "lift"), "at most once"),
        (("arm", "tail"), "tail"),
        (tuple(e for e in DEFAULT_LAYOUT if e != "lift"), "missing: lift"),
    ],
)
def test_wrong_layouts_are_refused(entries: tuple[str, ...], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        PoseLayout(entries, "finger_rad")


@pytest.fixture
def hello_helpers(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """The driver's own index helper: another order than the default."""
    Idx = IntEnum("Idx", [(e.upper(), i) for i, e in enumerate(reversed(DEFAULT_LAYOUT))])
    helper = types.ModuleType("hello_helpers.joint_qpos_conversion")

    def get_idx(tool: str) -> SimpleNamespace:
        if tool != "tool_of_theirs":
            raise ValueError("unsupported tool")
        return SimpleNamespace(**{index.name: int(index) for index in Idx}, num_joints=10)

    helper.get_Idx = get_idx
    monkeypatch.setitem(sys.modules, "hello_helpers", types.ModuleType("hello_helpers"))
    monkeypatch.setitem(sys.modules, "hello_helpers.joint_qpos_conversion", helper)
    return helper


def test_the_drivers_own_helper_is_asked_where_installed(hello_helpers: types.ModuleType) -> None:
    assert layout_of_tool("tool_of_theirs") == tuple(reversed(DEFAULT_LAYOUT))
    with pytest.raises(ConfigError, match="no tool tool_stretch_gripper"):
        layout_of_tool("tool_stretch_gripper")


def test_a_vector_with_unknown_entries_is_refused(hello_helpers: types.ModuleType) -> None:
    hello_helpers.get_Idx = lambda tool: SimpleNamespace(ARM=0, LIFT=1, TAIL=2, num_joints=3)
    with pytest.raises(ConfigError, match="3 entries"):
        layout_of_tool("tool_of_theirs")


def test_without_the_helper_only_known_tools_have_a_layout() -> None:
    if "hello_helpers" in sys.modules:
        pytest.skip("hello_helpers is installed here")
    assert layout_of_tool("eoa_wrist_dw3_tool_sg3") == DEFAULT_LAYOUT
    assert layout_of_tool("eoa_wrist_dw3_tool_sg3_pro") == DEFAULT_LAYOUT
    with pytest.raises(ConfigError, match="tool_stretch_gripper needs hello_helpers"):
        layout_of_tool("tool_stretch_gripper")
