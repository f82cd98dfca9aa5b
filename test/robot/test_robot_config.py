"""The YAML files of config/robot, and one-line errors for bad ones."""

from pathlib import Path

import pytest
from vinn.errors import ConfigError
from vinn.robot.config import RobotConfig, ToolProfile, load_robot_config, load_tool_profiles
from vinn.robot.limits import effective_limits
from vinn.robot.motion_filter import MotionFilter
from vinn.robot.types import JointLimits, JointRange

CONFIG = Path(__file__).parents[2] / "config" / "robot"


def test_simulation_file_states_every_default():
    assert load_robot_config(CONFIG / "stretch_sim.yaml") == RobotConfig()
    assert load_tool_profiles(CONFIG / "tools.yaml")["tool_stretch_dex_wrist"] == ToolProfile()


@pytest.mark.parametrize("tool", load_tool_profiles(CONFIG / "tools.yaml").values())
def test_every_tool_makes_a_working_filter(tool):
    limits = MotionFilter(RobotConfig(tool=tool), tool.limits.joint_limits()).limits
    for name in ("open", "closed"):
        aperture = getattr(tool, f"gripper_{name}_aperture_m")
        assert limits.gripper_aperture_m.lower <= aperture <= limits.gripper_aperture_m.upper


def test_the_robots_file_is_the_papers_setting():
    config = load_robot_config(CONFIG / "stretch.yaml")
    assert config.motion.scale == (0.07, 0.07, 0.0)
    assert config.start_pose.wrist_yaw_rad == 1.53
    assert config.motion.novelty_action == "halt"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("motion: {step_cap_m: 3}", ["motion.step_cap_m", "3", "0.2"]),
        ("motion: {stepcap_m: 0.1}", ["motion.stepcap_m", "step_cap_m"]),
        ("motion: {step_cap_m: .nan}", ["motion.step_cap_m", "nan"]),
        ("motion: {scale: [2.0, 1, 1]}", ["scale", "0..1"]),
        ("motion: {action_scale: unit}", ["scale", "0..0.2"]),
        ("gripper: {close_above: 1.0, open_below: 2.0}", ["open_below 2", "close_above 1"]),
        ("tool: hammer", ["tool", "hammer", "eoa_wrist_dw3_tool_sg3"]),
        ("[1, 2]", ["list", "mapping"]),
        ("motion: {", ["not YAML", "line 1"]),
        ("start_pose: {base_x_m: 1.0}", ["start_pose", "all three"]),
        ("nonsense: 1", ["nonsense", "executor"]),
    ],
)
def test_bad_files_are_refused_in_one_line(tmp_path, text, parts):
    (tmp_path / "tools.yaml").write_text((CONFIG / "tools.yaml").read_text())
    path = tmp_path / "robot.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_robot_config(path)
    message = str(caught.value)
    assert "\n" not in message and message.startswith(str(path))
    for part in parts:
        assert part in message


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", None])
def test_unreadable_files_are_refused(tmp_path, content):
    path = tmp_path / "robot.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"cannot be read|not UTF-8"):
        load_robot_config(path)


def test_limits_are_what_robot_and_tool_both_allow():
    tool = ToolProfile().limits.joint_limits()
    reported = {name: getattr(tool, name) for name in tool.__dataclass_fields__}
    reported["arm_m"] = JointRange(-0.01, 0.4)
    assert effective_limits(JointLimits(**reported), tool).arm_m == JointRange(0.0, 0.4)
    reported["arm_m"] = JointRange(0.6, 0.7)
    with pytest.raises(ConfigError, match="arm_m"):
        effective_limits(JointLimits(**reported), tool)


def test_a_tool_gives_gripper_values_and_the_robots_file_wins(tmp_path):
    (tmp_path / "tools.yaml").write_text(
        "claw: {gripper: {close_above: 2.0, sticky: true, empty: {open_steps: 7}}}"
    )
    file = tmp_path / "robot.yaml"
    file.write_text("tool: claw")
    gripper = load_robot_config(file).gripper
    assert (gripper.close_above, gripper.sticky, gripper.empty.open_steps) == (2.0, True, 7)
    file.write_text("tool: claw\ngripper: {close_above: 1.8, empty: {aperture_m: 0.006}}")
    gripper = load_robot_config(file).gripper
    assert (gripper.close_above, gripper.sticky) == (1.8, True)
    assert (gripper.empty.aperture_m, gripper.empty.open_steps) == (0.006, 7)


def test_a_tools_gripper_values_are_checked(tmp_path):
    (tmp_path / "tools.yaml").write_text("claw: {gripper: {close_abowe: 2.0}}")
    with pytest.raises(ConfigError, match="close_abowe"):
        load_tool_profiles(tmp_path / "tools.yaml")


def test_the_gripper_with_the_stronger_motor_has_the_ways_of_the_other():
    """stretch_body derives its limits, zero and percent from the plain one's."""
    profiles = load_tool_profiles(CONFIG / "tools.yaml")
    plain, pro = (
        profiles[f"eoa_wrist_dw3_tool_sg3{suffix}"].model_dump(exclude={"name"})
        for suffix in ("", "_pro")
    )
    assert plain == pro
