"""Services of type Trigger that ask for one thing."""

from __future__ import annotations

from collections.abc import Callable

from std_srvs.srv import Trigger

Answer = Callable[[Trigger.Request, Trigger.Response], Trigger.Response]


def trigger(ask: Callable[[], bool], yes: str, no: str) -> Answer:
    """A service's callback: it asks, and says in words whether that was done."""

    def answer(request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success = ask()
        response.message = yes if response.success else no
        return response

    return answer
