"""A rollout as a goal: feedback, cancel, refusals with reasons, a client that goes away."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from action_msgs.msg import GoalStatus
from rclpy.action import ActionClient
from rclpy.node import Node
from rclpy.parameter import Parameter
from ros_harness import Harness
from std_srvs.srv import Trigger
from supervisor_bench import Bench
from vinn.rollout.reader import summarize_recording
from vinn_ros.bringup import graph
from vinn_ros.node import qos

from vinn_msgs.action import Rollout
from vinn_msgs.msg import RolloutStatus, SceneStatus

pytestmark = pytest.mark.ros

SUCCEEDED = GoalStatus.STATUS_SUCCEEDED
CANCELED = GoalStatus.STATUS_CANCELED
ABORTED = GoalStatus.STATUS_ABORTED


class Caller:
    """Another node that wants a rollout and waits for it."""

    def __init__(self, ros: Harness, name: str = "caller") -> None:
        self.ros = ros
        self.node = ros.add(Node(name, use_global_arguments=False))
        self.client = ActionClient(self.node, Rollout, "supervisor/rollout")
        self.feedback: list[Rollout.Feedback] = []

    def ask(self, **goal: Any) -> Any:
        """A goal, which is always taken: refusals say why in the result."""
        self.ros.wait_for(self.client.server_is_ready)
        sent = self.client.send_goal_async(
            Rollout.Goal(**goal), lambda told: self.feedback.append(told.feedback)
        )
        self.ros.wait_for(sent.done)
        assert sent.result().accepted
        return sent.result()

    def result(self, handle: Any) -> tuple[int, Rollout.Result]:
        future = handle.get_result_async()
        self.ros.wait_for(future.done)
        return future.result().status, future.result().result

    def rollout(self, **goal: Any) -> tuple[int, Rollout.Result]:
        return self.result(self.ask(**goal))


@pytest.fixture
def bench(ros: Harness, tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(ros, tmp_path)
    yield bench
    bench.rest.release.set()


def test_a_goal_is_a_rollout_and_its_result_the_outcome(bench: Bench) -> None:
    caller = Caller(bench.ros)
    assert bench.reset().success
    status, result = caller.rollout(name="oak", max_steps=3, attempts=2)
    # Nobody has judged it: on a robot the operator does.
    assert (status, result.outcome, result.reason) == (SUCCEEDED, 0, "STEP_LIMIT")
    assert (result.steps, result.attempts) == (3, 1)
    assert result.duration_s > 0.0
    summary = summarize_recording(result.recording)
    assert (summary.info["name"], summary.info["session"]) == ("oak", result.session)
    told = [(one.session, one.step, one.attempt, round(one.novelty, 3)) for one in caller.feedback]
    # Steps that follow each other closely may be told as one.
    assert told[-1] == (result.session, 3, 1, 0.1)
    assert [step for _, step, _, _ in told] == sorted({step for _, step, _, _ in told})
    assert bench.rest.steps[0].session == result.session


@pytest.mark.parametrize(
    ("opened", "expected"),
    [
        (True, (SUCCEEDED, Rollout.Result.SUCCESS, "SUCCESS")),
        (False, (ABORTED, Rollout.Result.FAILURE, "STEP_LIMIT")),
    ],
)
def test_the_simulation_judges_where_there_is_one(
    ros: Harness, tmp_path: Path, opened: bool, expected: tuple[int, int, str]
) -> None:
    bench = Bench(ros, tmp_path, "success:=opened")
    scene = ros.node.create_publisher(SceneStatus, "scene/status", qos.STREAM)
    caller = Caller(ros)
    assert bench.reset().success
    ros.wait_for(scene.get_subscription_count)
    scene.publish(SceneStatus(opened=opened))
    ros.wait_for(lambda: bench.node._links.scene is not None)
    status, result = caller.rollout(max_steps=2)
    assert (status, result.outcome, result.reason) == expected


def test_cancelling_stops_the_robot(bench: Bench) -> None:
    caller = Caller(bench.ros)
    assert bench.reset().success
    bench.rest.release.clear()
    handle = caller.ask(max_steps=100)
    bench.ros.wait_for(lambda: bench.rest.steps)
    stops = bench.rest.stops
    handle.cancel_goal_async()
    status, result = caller.result(handle)
    assert (status, result.reason) == (CANCELED, "OPERATOR_STOP")
    assert result.message == "supervisor/rollout: cancelled"
    assert bench.rest.stops == stops + 1
    assert len(bench.rest.steps) == 1
    assert bench.wait_state(RolloutStatus.ENDED).session == result.session


def test_what_is_refused_says_why_and_disturbs_nothing(bench: Bench) -> None:
    first, second = Caller(bench.ros), Caller(bench.ros, "second")
    status, result = first.rollout()
    assert (status, result.session, result.reason) == (ABORTED, "", "NOT_READY")
    assert result.message == "start: refused in IDLE: reset first"
    assert bench.reset().success
    status, result = first.rollout(name="n" * 201)
    assert (status, result.reason) == (ABORTED, "INVALID_INPUT")
    bench.rest.release.clear()
    handle = first.ask(max_steps=2)
    bench.ros.wait_for(lambda: bench.rest.steps)
    status, result = second.rollout(max_steps=2)
    assert (status, result.session, result.reason) == (ABORTED, "", "BUSY")
    # A refused goal that is cancelled, too, is nobody's rollout; nor is it by the service.
    assert bench.start().reason == "BUSY"
    bench.rest.release.set()
    status, result = first.result(handle)
    assert (status, result.reason, result.steps) == (SUCCEEDED, "STEP_LIMIT", 2)


def test_the_services_stop_what_an_action_began(bench: Bench) -> None:
    caller = Caller(bench.ros)
    assert bench.reset().success
    handle = caller.ask(max_steps=1000)
    bench.ros.wait_for(lambda: bench.rest.steps)
    assert bench.ros.call(Trigger, "supervisor/stop_rollout").success
    status, result = caller.result(handle)
    assert (status, result.reason, result.message) == (
        ABORTED,
        "OPERATOR_STOP",
        "stopped on request",
    )


def test_a_rollout_by_the_service_is_not_stopped_for_want_of_a_client(bench: Bench) -> None:
    assert bench.reset().success
    bench.rest.release.clear()
    assert bench.start(max_steps=2).accepted
    bench.ros.wait_for(lambda: bench.rest.steps)
    bench.node._action._stop(bench.node._status.session + "-other", "not this one")
    bench.rest.release.set()
    assert bench.wait_state(RolloutStatus.ENDED).reason == "STEP_LIMIT"


def test_a_client_that_goes_away_ends_its_rollout(bench: Bench) -> None:
    caller = Caller(bench.ros)
    assert bench.reset().success
    bench.node.set_parameters([Parameter("step_mode", value=True)])
    caller.ask(max_steps=1000)
    bench.ros.wait_for(lambda: bench.node._step_mode.waiting)
    caller.client.destroy()
    status = bench.wait_state(RolloutStatus.ENDED)
    assert status.reason == "OPERATOR_STOP"
    assert status.message == "supervisor/rollout: its client has been gone for 2 s"
    assert bench.rest.steps == []
    assert not bench.node._step_mode.waiting


@pytest.mark.crosses_processes(
    reason="a client has to start as a process and to find the node here in time"
)
def test_so_does_one_that_is_killed(bench: Bench) -> None:
    code = (
        "import rclpy, sys\n"
        "from rclpy.action import ActionClient\n"
        "from vinn_msgs.action import Rollout\n"
        "rclpy.init()\n"
        "node = rclpy.create_node('doomed')\n"
        "client = ActionClient(node, Rollout, 'supervisor/rollout')\n"
        "client.wait_for_server()\n"
        "accepted = False\n"
        # A busy machine may have lost the request, or refuse it as not ready.
        "while not accepted:\n"
        "    goal = client.send_goal_async(Rollout.Goal(max_steps=1000))\n"
        "    rclpy.spin_until_future_complete(node, goal, timeout_sec=5.0)\n"
        "    accepted = goal.done() and goal.result().accepted\n"
        "rclpy.spin(node)\n"
    )
    assert bench.reset().success
    bench.node.set_parameters([Parameter("step_mode", value=True)])
    environment = {**os.environ, **graph.environment("sim")}
    environment["ROS_DOMAIN_ID"] = os.environ["ROS_DOMAIN_ID"]
    process = subprocess.Popen([sys.executable, "-c", code], env=environment)
    try:
        bench.ros.wait_for(lambda: bench.node._step_mode.waiting, 60.0)
    finally:
        process.kill()
        process.wait()
    bench.ros.wait_for(lambda: bench.statuses[-1].state == RolloutStatus.ENDED, 60.0)
    assert "its client has been gone" in bench.statuses[-1].message
    assert bench.rest.steps == []
