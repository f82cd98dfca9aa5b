"""Every (state, event) pair, and many starts at once."""

import itertools
import threading
from pathlib import Path

import pytest
from vinn.robot.types import ReasonCode
from vinn.rollout.states import TRANSITIONS, RolloutEvent, RolloutMachine, RolloutState

S, E = RolloutState, RolloutEvent
PATHS = {
    S.IDLE: [],
    S.RESETTING: [E.RESET],
    S.READY: [E.RESET, E.RESET_DONE],
    S.RUNNING: [E.RESET, E.RESET_DONE, E.START],
    S.ENDED: [E.RESET, E.RESET_DONE, E.START, E.END],
}
EXPECTED = {
    # rows: IDLE, RESETTING, READY, RUNNING, ENDED; a refusal is its reason
    E.RESET: [S.RESETTING, "BUSY", S.RESETTING, "BUSY", S.RESETTING],
    E.START: ["NOT_READY", "BUSY", S.RUNNING, "BUSY", "NOT_READY"],
    E.STOP: ["NOT_READY", S.RESETTING, "NOT_READY", S.RUNNING, "NOT_READY"],
    E.LABEL: ["NOT_READY", "BUSY", "NOT_READY", "BUSY", S.ENDED],
    E.RESET_DONE: ["NOT_READY", S.READY, "NOT_READY", "BUSY", "NOT_READY"],
    E.RESET_FAILED: ["NOT_READY", S.IDLE, "NOT_READY", "BUSY", "NOT_READY"],
    E.END: ["NOT_READY", "BUSY", "NOT_READY", S.ENDED, "NOT_READY"],
    E.FAULT: [S.IDLE, S.RESETTING, S.IDLE, S.RUNNING, S.ENDED],
}


def machine_in(state):
    machine = RolloutMachine()
    for event in PATHS[state]:
        assert machine.handle(event) is None
    assert machine.state is state
    return machine


@pytest.mark.parametrize(("state", "event"), itertools.product(S, E))
def test_every_pair(state, event):
    machine = machine_in(state)
    expected = EXPECTED[event][state]
    refusal = machine.handle(event)
    if isinstance(expected, S):
        assert refusal is None and machine.state is expected
    else:
        assert refusal.reason is ReasonCode(expected) and machine.state is state
        assert event.value in refusal.message and state.name in refusal.message


def test_the_table_is_complete_and_only_a_ready_robot_starts():
    assert set(EXPECTED) == set(E)
    assert len(TRANSITIONS) == sum(isinstance(v, S) for row in EXPECTED.values() for v in row)
    assert [s for (s, e), to in TRANSITIONS.items() if to is S.RUNNING and e is E.START] == [
        S.READY
    ]


def test_of_twenty_simultaneous_starts_exactly_one_is_accepted():
    machine = machine_in(S.READY)
    barrier, answers = threading.Barrier(20), []

    def start():
        barrier.wait()
        answers.append(machine.handle(E.START))

    threads = [threading.Thread(target=start) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers.count(None) == 1
    assert all(a.reason is ReasonCode.BUSY for a in answers if a is not None)


def test_numbers_are_those_of_the_message():
    message = Path(__file__).parents[2] / "src" / "vinn_msgs" / "msg" / "RolloutStatus.msg"
    text = message.read_text()
    for state in S:
        assert f"uint8 {state.name}={state.value}" in text
