"""Quick callbacks run where they are heard of; what waits does not keep them from it."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator

import pytest
import rclpy
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future, Task
from ros_domain import own_domain
from std_msgs.msg import String
from std_srvs.srv import Trigger
from vinn_ros.node.calls import call
from vinn_ros.node.node_executor import NodeExecutor, QuickGroup

_TIMEOUT_S = 20.0


class Spun:
    """A node in a `NodeExecutor` that a thread spins."""

    def __init__(self) -> None:
        self.executor = NodeExecutor(threads=2)
        self.node = Node("spun", use_global_arguments=False)
        self.executor.add_node(self.node)
        self.problem: BaseException | None = None
        self.thread = threading.Thread(target=self._spin, daemon=True)

    def _spin(self) -> None:
        try:
            with contextlib.suppress(ExternalShutdownException):
                self.executor.spin()
        except RuntimeError as problem:
            self.problem = problem

    def timer(self, callback: Callable[[], None], group: MutuallyExclusiveCallbackGroup) -> None:
        clock = Clock(clock_type=ClockType.STEADY_TIME)
        self.node.create_timer(0.01, callback, callback_group=group, clock=clock)


@pytest.fixture
def spun(monkeypatch: pytest.MonkeyPatch) -> Iterator[Spun]:
    domain = own_domain()
    monkeypatch.setenv("ROS_DOMAIN_ID", str(domain))
    monkeypatch.setenv(
        "ROS_AUTOMATIC_DISCOVERY_RANGE",
        os.environ.get("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST"),
    )
    rclpy.init(args=[], domain_id=domain, signal_handler_options=SignalHandlerOptions.NO)
    spun = Spun()
    try:
        yield spun
    finally:
        spun.executor.shutdown(timeout_sec=2.0)
        if spun.thread.ident is not None:
            spun.thread.join(timeout=5.0)
        rclpy.try_shutdown()


def test_quick_callbacks_run_in_the_thread_that_hears_them(spun: Spun) -> None:
    threads: dict[str, threading.Thread] = {}
    both = threading.Event()

    def note(name: str) -> None:
        threads[name] = threading.current_thread()
        if len(threads) == 2:
            both.set()

    publisher = spun.node.create_publisher(String, "heard", 1)
    spun.node.create_subscription(
        String, "heard", lambda _: note("quick"), 1, callback_group=QuickGroup()
    )
    spun.timer(lambda: publisher.publish(String()), QuickGroup())
    spun.timer(lambda: note("other"), MutuallyExclusiveCallbackGroup())
    spun.thread.start()
    assert both.wait(_TIMEOUT_S)
    assert threads["quick"] is spun.thread
    assert threads["other"] is not spun.thread


def test_a_task_begins_though_nothing_is_heard(spun: Spun) -> None:
    begun = threading.Event()
    # Nobody spins: rclpy's own executors would leave it lying.
    task = spun.executor.create_task(begun.set)
    assert begun.wait(_TIMEOUT_S)
    spun.thread.start()
    answers = [spun.executor.create_task(lambda number=number: number) for number in range(20)]
    together = spun.executor.create_task(_all_of, answers)
    done = threading.Event()
    together.add_done_callback(lambda _: done.set())
    assert done.wait(_TIMEOUT_S)
    assert together.result() == list(range(20))
    assert task.done()


async def _all_of(answers: list[Task]) -> list[int]:
    return [await answer for answer in answers]


def test_a_task_that_waits_goes_on_when_it_may(spun: Spun) -> None:
    answer = Future(executor=spun.executor)
    task = spun.executor.create_task(_all_of, [answer])
    done = threading.Event()
    task.add_done_callback(lambda _: done.set())
    spun.thread.start()
    assert not done.wait(0.2)
    answer.set_result(7)
    spun.executor.wake()
    assert done.wait(_TIMEOUT_S)
    assert task.result() == [7]


def test_a_waiting_service_keeps_no_quick_callback_from_running(spun: Spun) -> None:
    asked, ticks_meanwhile = threading.Event(), threading.Semaphore(0)

    def answer(request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        asked.set()
        for _ in range(3):
            assert ticks_meanwhile.acquire(timeout=_TIMEOUT_S)
        response.success = True
        return response

    def tick() -> None:
        if asked.is_set():
            ticks_meanwhile.release()

    spun.node.create_service(
        Trigger, "wait", answer, callback_group=MutuallyExclusiveCallbackGroup()
    )
    client = spun.node.create_client(Trigger, "wait", callback_group=QuickGroup())
    spun.timer(tick, QuickGroup())
    spun.thread.start()
    assert call(client, Trigger.Request(), _TIMEOUT_S).success


@pytest.mark.parametrize("group", [QuickGroup, MutuallyExclusiveCallbackGroup])
def test_what_a_callback_raises_ends_the_spinning(
    spun: Spun, group: type[MutuallyExclusiveCallbackGroup]
) -> None:
    def fail() -> None:
        raise RuntimeError("on purpose")

    spun.timer(fail, group())
    # Another one wakes the executor again, so that it looks after what runs elsewhere.
    spun.timer(lambda: None, QuickGroup())
    spun.thread.start()
    spun.thread.join(timeout=_TIMEOUT_S)
    assert not spun.thread.is_alive()
    assert str(spun.problem) == "on purpose"
