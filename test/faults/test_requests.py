"""Rows 16-18, 26, 27 and 30: too many, the wrong, or garbled requests."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fault_measure import LIMITS, Measure, measuring
from fault_stack import NODES, Stack
from rclpy.action import ActionClient
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.qos import QoSProfile, ReliabilityPolicy
from relay import BadNetwork, Relay
from std_srvs.srv import Trigger
from vinn.rollout.reader import summarize_recording
from vinn_ros.node import qos
from vinn_ros.node.calls import wait_for

from vinn_msgs.action import ExecuteStep
from vinn_msgs.msg import ExecutorStatus, Prediction, RolloutStatus
from vinn_msgs.srv import StartRollout

pytestmark = [
    pytest.mark.alone,
    pytest.mark.ros,
    pytest.mark.slow,
    pytest.mark.crosses_processes(
        reason="three nodes run as processes against watchdogs, and a busy machine may stall one"
    ),
]

CLIENTS = 20
CALLS_PER_S = 200.0
_WARM_UP, _SOAK = 2, 4


def test_row_16_twenty_starts_at_once(stack: Stack) -> None:
    assert stack.reset().success
    clients = [
        # Each client hears the answers to all: a depth of 10 might push its own out.
        stack.ros.node.create_client(
            StartRollout,
            "supervisor/start_rollout",
            qos_profile=qos.SERVICE,
            callback_group=ReentrantCallbackGroup(),
        )
        for _ in range(CLIENTS)
    ]
    assert all(client.wait_for_service(20.0) for client in clients)
    together = threading.Barrier(CLIENTS)

    def ask(client: Any) -> tuple[StartRollout.Response, float]:
        together.wait(20.0)
        asked_s = time.monotonic()
        return wait_for(client.call_async(StartRollout.Request()), 20.0, "start"), (
            time.monotonic() - asked_s
        )

    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(ask, clients))
    for client in clients:
        stack.ros.node.destroy_client(client)
    accepted = [answer for answer, _ in answers if answer.accepted]
    refused = [(answer.reason, seconds) for answer, seconds in answers if not answer.accepted]
    measure = Measure(16)
    measure.value("starts accepted of 20 at once", len(accepted), "", "== 1")
    busy = sum(reason == "BUSY" for reason, _ in refused)
    measure.value("starts refused as BUSY", busy, "of 19", "== 19")
    slowest_s = max(seconds for _, seconds in refused)
    measure.time("answer BUSY, slowest of 19", slowest_s, "busy_answer_s")


def test_row_17_a_flood_of_calls(stack: Stack) -> None:
    stack.run("flood")
    seconds = 10.0 if measuring() else 4.0
    client = stack.ros.node.create_client(
        StartRollout,
        "supervisor/start_rollout",
        qos_profile=qos.SERVICE,
        callback_group=ReentrantCallbackGroup(),
    )
    answered, pending = [0], []

    def count(_: Any) -> None:
        answered[0] += 1

    began_s = time.monotonic()
    heard = len(stack.executor_statuses), len(stack.statuses)
    sent = 0
    pace = threading.Event()
    while time.monotonic() - began_s < seconds:
        future = client.call_async(StartRollout.Request())
        future.add_done_callback(count)
        pending.append(future)
        sent += 1
        pace.wait(max(0.0, began_s + sent / CALLS_PER_S - time.monotonic()))
    asked_s = time.monotonic()
    assert stack.ros.call(Trigger, "supervisor/stop_rollout").success
    stop_s = time.monotonic() - asked_s
    flooded = [at_s for at_s, _ in stack.executor_statuses[heard[0] :] if at_s < asked_s]
    renewed = [at_s for at_s, _ in stack.statuses[heard[1] :] if at_s < asked_s]
    measure = Measure(17)
    p99_s = max(float(np.quantile(np.diff(times), 0.99)) for times in (flooded, renewed))
    measure.time(
        "period of executor and supervisor, 99 % (of 1.5 T)",
        p99_s,
        "control_period_s",
        of=LIMITS["period_p99_periods"],
    )
    measure.time("stop answered in the flood", stop_s, "stop_answer_s")
    measure.value("calls asked", sent / seconds, "1/s", None)
    stack.ros.wait_for(lambda: answered[0] == sent, 60.0)
    measure.value("calls unanswered", sent - answered[0], "", "== 0")
    stack.ros.node.destroy_client(client)
    assert stack.wait_state(RolloutStatus.ENDED).reason == "OPERATOR_STOP"


def test_row_26_incompatible_qos(stack: Stack) -> None:
    # Sensors may be best effort (test/ros/node/test_sensor_streams.py); what is acted on may not.
    topic = "policy/prediction"
    began_s = time.monotonic()
    best_effort = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    publisher = stack.ros.node.create_publisher(Prediction, topic, best_effort)
    named_s = stack.named_after(began_s, topic)
    levels = [
        status.level
        for at_s, array in stack.diagnostics
        if at_s >= began_s
        for status in array.status
        if topic in status.message
    ]
    assert levels[0] == b"\x02"
    Measure(26).time("diagnostics ERROR names the topic", named_s, "qos_named_s")
    stack.ros.node.destroy_publisher(publisher)


def step_goal(session: str, sequence: int) -> ExecuteStep.Goal:
    goal = ExecuteStep.Goal(session=session, sequence=sequence)
    goal.prediction = Prediction(action_scale="unit", image_age_s=0.01)
    goal.prediction.camera_delta.x = 1.0
    goal.prediction.gripper_probabilities = [1.0, 0.0, 0.0, 0.0]
    return goal


def ask_step(stack: Stack, client: ActionClient, session: str, sequence: int) -> str:
    handle = wait_for(client.send_goal_async(step_goal(session, sequence)), 20.0, "goal")
    if not handle.accepted:
        return "REJECTED"
    return str(wait_for(handle.get_result_async(), 20.0, "result").result.error_code)


def test_row_27_and_30_a_second_client(stack: Stack) -> None:
    """It repeats steps of the session it overheard, and asks for some of its own."""
    session = stack.run("overheard")
    client = ActionClient(stack.ros.node, ExecuteStep, "executor/step")
    assert client.wait_for_server(20.0)
    stack.wait_motion()
    overheard = stack.executor_statuses[-1][1].sequence
    repeated = [ask_step(stack, client, session, max(0, overheard - i)) for i in range(3)]
    assert set(repeated) <= {"OUT_OF_ORDER", "BUSY"}, repeated
    foreign = [ask_step(stack, client, name, 10_000) for name in ("mine", "", session + "x")]
    assert set(foreign) <= {"WRONG_SESSION", "BUSY"}, foreign
    stack.stop()
    late = ask_step(stack, client, session, 10_001)
    assert late in ("WRONG_SESSION", "OPERATOR_STOP"), late
    executed = [
        status.sequence
        for _, status in stack.executor_statuses
        if status.session == session and status.state == ExecutorStatus.EXECUTING
    ]
    assert executed == sorted(executed)
    Measure(27).value("repeated steps executed", repeated.count("NONE"), "", "== 0")
    Measure(30).value(
        "steps of a foreign client executed", [*foreign, late].count("NONE"), "", "== 0"
    )
    client.destroy()


def test_row_27_predictions_late_lost_twice_and_out_of_order(stack: Stack) -> None:
    """A bad network between policy and supervisor."""
    network = BadNetwork(delay_s=(0.0, 0.15), drop=0.15, duplicate=0.3)
    relay = stack.ros.add(Relay(Prediction, "policy/prediction", "relayed/prediction", network))
    stack.respawn("rollout_supervisor", remap=("policy/prediction", "relayed/prediction"))
    try:
        executed: list[int] = []
        repeats = 0
        while len(executed) < 6:
            session = stack.run("bad network", pace=2.0)
            began = len(stack.executor_statuses)
            with contextlib.suppress(AssertionError):  # ended: see below
                for _ in range(6):
                    stack.wait_motion()
            if stack.status.state == RolloutStatus.ENDED:
                # Several in a row may be lost, and then it may not go on.
                assert stack.status.reason == "POLICY_LOST", stack.status.message
            else:
                stack.stop()
            executed = [
                status.sequence
                for _, status in stack.executor_statuses[began:]
                if status.session == session and status.state == ExecutorStatus.EXECUTING
            ]
            repeats += sum(after < before for before, after in itertools.pairwise(executed))
        measure = Measure(27)
        measure.value("steps out of order through a bad network", repeats, "", "== 0")
        measure.value("predictions it lost", relay.dropped, f"of {relay.taken}", None)

        # So late that nothing may be done with them.
        network.delay_s, network.drop, network.duplicate = (2.0, 2.2), 0.0, 0.0
        stack.driver.joints.pace = 2.0
        assert stack.reset().success
        before = len(stack.driver.motions())
        answer = stack.start()
        if answer.accepted:
            status = stack.wait_state(RolloutStatus.ENDED)
            assert status.reason in ("STALE_INPUT", "POLICY_LOST"), status.message
        moved = len(stack.driver.motions()) - before
        Measure(7).value("steps from predictions 2 s late", moved, "", "== 0")
    finally:
        stack.respawn("rollout_supervisor")


def test_row_18_an_operator_stops_a_rollout(stack: Stack) -> None:
    stack.run("stopped")
    stack.wait_motion()
    asked_s = time.monotonic()
    assert stack.ros.call(Trigger, "supervisor/stop_rollout").success
    status = stack.wait_state(RolloutStatus.ENDED)
    hold_s = stack.hold_after(asked_s)
    assert hold_s is not None
    assert status.reason == "OPERATOR_STOP"
    last_s = stack.driver.last_motion_s - asked_s
    Measure(18).time("stop_rollout: hold", max(hold_s, last_s), "stop_hold_s")
    summary = summarize_recording(status.recording)
    assert summary.outcome is not None
    assert status.recording.endswith(".mcap")


def test_a_short_soak(stack: Stack) -> None:
    """Rollout after rollout: nothing piles up. `python -m measure.soak` does it for an hour."""

    def memory_mib() -> dict[str, float]:
        pages = {
            name: int(Path(f"/proc/{stack.pid(name)}/statm").read_text().split()[1])
            for name in NODES
        }
        return {name: count * os.sysconf("SC_PAGE_SIZE") / 2**20 for name, count in pages.items()}

    before: dict[str, float] = {}
    for rollout in range(_WARM_UP + _SOAK):
        if rollout == _WARM_UP:
            before = memory_mib()
        stack.run(f"soak {rollout}", pace=4.0)
        for _ in range(3):
            stack.wait_motion()
        stack.stop()
    after = memory_mib()
    grown = {name: after[name] - before[name] for name in NODES}
    assert max(grown.values()) < LIMITS["soak_mib"], grown
