"""What is particular about FollowJointTrajectory: five goals a second, thresholds, holding."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from ros_harness import Harness
from stretch_driver import HAS_TRAJECTORY, FakeStretchDriver
from vinn.errors import ConfigError, RobotError
from vinn.robot.config import ContactConfig, ContactThresholds, RobotConfig
from vinn.robot.types import JointCommand
from vinn_ros.drivers import follow_trajectory
from vinn_ros.drivers.follow_trajectory import FollowTrajectoryDriver, goal_joints
from vinn_ros.node.lifecycle import VinnNode

pytestmark = [
    pytest.mark.ros,
    pytest.mark.skipif(not HAS_TRAJECTORY, reason="control_msgs is not installed"),
]

COMMAND = JointCommand(
    lift_m=0.6,
    arm_m=0.25,
    wrist_yaw_rad=0.0,
    wrist_pitch_rad=0.0,
    wrist_roll_rad=0.0,
    gripper_aperture_m=0.06,
)
PULL = ContactConfig(pull=ContactThresholds(arm_percent=80.0, base_percent=70.0))
CONFIG = RobotConfig(contact=PULL)


class Plain(VinnNode):
    NAME = "plain"


class Setup:
    """A driver over the fake robot, without an executor."""

    def __init__(self, ros: Harness) -> None:
        self.ros = ros
        self.robot = ros.add(FakeStretchDriver())
        self.node = ros.add(Plain(["--ros-args"]))
        self.driver = FollowTrajectoryDriver(self.node, 2.0)

    def started(self) -> FollowTrajectoryDriver:
        self.driver.start(CONFIG)
        return self.driver

    @property
    def server(self) -> Any:
        return self.robot.trajectory

    def arm_m(self) -> float:
        return self.robot.joints.position["wrist_extension"]


@pytest.fixture
def setup(ros: Harness) -> Iterator[Setup]:
    yield Setup(ros)


def test_names_and_thresholds_of_a_goal() -> None:
    names, positions, effort = goal_joints(COMMAND, PULL)
    assert "translate_mobile_base" not in names, "an increment of zero breaks the driver's goal"
    assert effort == []
    pulling = replace(COMMAND, base_translate_m=-0.02, loaded=True)
    names, positions, effort = goal_joints(pulling, PULL)
    assert dict(zip(names, effort, strict=False)) == {
        "wrist_extension": 80.0,
        "translate_mobile_base": 70.0,
    }
    assert dict(zip(names, positions, strict=True))["translate_mobile_base"] == -0.02
    assert "rotate_mobile_base" not in names
    lift_alone = ContactConfig(pull=ContactThresholds(lift_percent=50.0))
    names, _, effort = goal_joints(pulling, lift_alone)
    assert (names[0], effort) == ("joint_lift", [50.0])


def test_a_fast_sender_is_paced_and_every_goal_is_taken(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = setup.started()
    setup.robot.joints.stuck = {"all"}
    sent_s: list[float] = []
    send = driver._client.send_goal_async

    def note(goal: Any) -> Any:
        sent_s.append(time.monotonic())
        return send(goal)

    monkeypatch.setattr(driver._client, "send_goal_async", note)
    wanted_m = [0.25 + 0.01 * i for i in range(5)]
    for arm_m in wanted_m:
        driver.send(replace(COMMAND, arm_m=arm_m))
    # Where they arrive they may be nearer to each other: one that is rejected is sent once more.
    assert len(sent_s) == len(wanted_m) + len(setup.server.rejected)
    assert min(b - a for a, b in itertools.pairwise(sent_s)) >= 0.2
    taken = [c.targets["wrist_extension"] for c in setup.robot.commands if not c.refused]
    assert taken == wanted_m


def test_hold_ends_the_motion_where_it_is(setup: Setup) -> None:
    driver = setup.started()
    # Slow, so that it is still under way when the hold arrives, however late that is.
    setup.robot.joints.pace = 0.2
    driver.send(replace(COMMAND, arm_m=0.4, wrist_roll_rad=1.0))
    setup.ros.wait_for(lambda: setup.arm_m() > 0.21)
    driver.hold()
    held = setup.robot.commands[-1]
    assert not held.refused
    assert held.hold
    # stop_the_robot alone leaves the roll going.
    assert "joint_wrist_roll" in held.targets
    setup.ros.wait_for(lambda: setup.server.outcomes)
    rest = setup.arm_m()
    assert rest < 0.3
    assert setup.robot.joints.target["wrist_extension"] == pytest.approx(rest, abs=0.02)


def test_guarded_contact_is_counted(setup: Setup) -> None:
    driver = setup.started()
    setup.robot.joints.pushing = {"wrist_extension": 60.0}
    driver.send(COMMAND)
    setup.ros.wait_for(lambda: driver.contacts == 1)
    assert setup.arm_m() < 0.21
    # With the pull's threshold it goes on.
    driver.send(replace(COMMAND, loaded=True, gripper_aperture_m=-0.03))
    setup.ros.wait_for(lambda: setup.arm_m() > 0.24)
    assert setup.robot.commands[-1].thresholds == {"wrist_extension": 80.0}


def test_a_squeezing_gripper_is_named_once(setup: Setup) -> None:
    driver = setup.started()
    setup.robot.joints.grip_m = 0.014
    closed = replace(COMMAND, gripper_aperture_m=-0.03, loaded=True)
    driver.send(closed)
    driver.send(replace(closed, arm_m=0.24))
    assert "gripper_aperture" in setup.robot.commands[-2].targets
    assert "gripper_aperture" not in setup.robot.commands[-1].targets


def test_a_rejected_goal_is_an_error(setup: Setup) -> None:
    driver = setup.started()
    setup.robot.reject_goals = True
    with pytest.raises(RobotError, match="goal rejected twice"):
        driver.send(COMMAND)
    assert setup.robot.motions() == []


def test_numbers_that_are_none_are_never_sent(setup: Setup) -> None:
    driver = setup.started()
    with pytest.raises(RobotError, match="not finite"):
        driver.send(replace(COMMAND, arm_m=math.nan))
    assert setup.robot.commands == []


def test_streaming_that_someone_switches_on_ends_it(setup: Setup) -> None:
    driver = setup.started()
    setup.robot.streaming = True
    setup.ros.wait_for(lambda: driver._streaming)
    with pytest.raises(RobotError, match="is_streaming_position"):
        driver.send(COMMAND)


def test_a_mode_that_the_robot_does_not_confirm_is_an_error(setup: Setup) -> None:
    # The service says yes and nothing happens.
    setup.robot._change_mode = lambda mode: ""
    setup.robot.mode = "navigation"
    with pytest.raises(RobotError, match="mode: not position"):
        setup.started()


def test_a_service_that_never_answers_is_named(setup: Setup) -> None:
    setup.robot.mute = {"get_joint_states"}
    with pytest.raises(RobotError, match="get_joint_states: no answer within 2 s"):
        setup.started()


def test_a_runstop_during_a_goal_is_seen_though_the_joint_states_fall_silent(setup: Setup) -> None:
    driver = setup.started()
    setup.robot.joints.stuck = {"all"}
    driver.send(COMMAND)
    setup.ros.wait_for(lambda: setup.robot._mode_locks)
    setup.robot.press_runstop()
    # The driver waits for its mode lock: nothing but is_runstopped comes any more.
    setup.ros.wait_for(lambda: driver.state().runstopped)
    setup.ros.wait_for(lambda: driver.now_s() - driver.state().steady_s > 0.5)


def test_without_control_msgs_the_error_says_what_is_missing(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow_trajectory, "FollowJointTrajectory", None)
    with pytest.raises(ConfigError, match="needs control_msgs"):
        FollowTrajectoryDriver(setup.node, 1.0)
