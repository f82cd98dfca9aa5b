"""Service calls from a worker thread: with a deadline, never blocking for ever."""

from __future__ import annotations

import threading
import time
from typing import Any

from rclpy.client import Client
from rclpy.task import Future
from vinn.errors import RobotError


def wait_for(future: Future, timeout_s: float, what: str) -> Any:
    """The future's result; another thread spins.

    Raises:
        vinn.errors.RobotError: no answer in time.
    """
    done = threading.Event()
    future.add_done_callback(lambda _: done.set())
    if not done.wait(timeout_s):
        future.cancel()
        raise RobotError(f"{what}: no answer within {timeout_s:.2g} s")
    return future.result()


def call(client: Client, request: Any, timeout_s: float) -> Any:
    """Call a service; another thread spins.

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
        return wait_for(future, deadline_s - time.monotonic(), client.srv_name)
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
