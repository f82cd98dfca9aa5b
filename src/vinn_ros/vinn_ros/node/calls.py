"""Service calls from a worker thread: with a deadline, never blocking for ever."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from rclpy.client import Client
from rclpy.task import Future
from vinn.errors import RobotError

_LOST_PERIOD_S = 0.25


def wait_for(
    future: Future, timeout_s: float, what: str, lost: Callable[[], bool] = lambda: False
) -> Any:
    """The future's result; another thread spins.

    Args:
        future: what is waited for.
        timeout_s: at most so long.
        what: named in the error.
        lost: asked again and again; True: no answer will come.

    Raises:
        vinn.errors.RobotError: no answer in time.
    """
    done = threading.Event()
    future.add_done_callback(lambda _: done.set())
    deadline_s = time.monotonic() + timeout_s
    while not done.wait(min(_LOST_PERIOD_S, max(0.0, deadline_s - time.monotonic()))):
        is_lost = lost()
        if time.monotonic() < deadline_s and not is_lost:
            continue
        future.cancel()
        if is_lost:
            raise RobotError(f"{what}: the request did not arrive")
        raise RobotError(f"{what}: no answer within {timeout_s:.2g} s")
    return future.result()


def call(
    client: Client, request: Any, timeout_s: float, lost: Callable[[], bool] = lambda: False
) -> Any:
    """Call a service; another thread spins. `lost` as in `wait_for`.

    Raises:
        vinn.errors.RobotError: the service does not exist, or does not answer in time.
    """
    deadline_s = time.monotonic() + timeout_s
    # Polled: rclpy's own wait_for_service does the same, but with a period of a quarter second.
    while not client.service_is_ready():
        if time.monotonic() > deadline_s:
            raise RobotError(f"{client.srv_name}: not there within {timeout_s:g} s")
        time.sleep(0.02)
    future = client.call_async(request)
    try:
        return wait_for(future, deadline_s - time.monotonic(), client.srv_name, lost)
    finally:
        client.remove_pending_request(future)


def checked(client: Client, request: Any, timeout_s: float) -> Any:
    """Call a service that answers `success` and `message`; a refusal is an error.

    Raises:
        vinn.errors.RobotError: refused, or no answer in time.
    """
    response = call(client, request, timeout_s)
    if not response.success:
        raise RobotError(f"{client.srv_name}: refused: {response.message or 'no reason given'}")
    return response
