"""A session of Ray, the extra `ray`: on this machine alone, or in a cluster that is there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from vinn.errors import ConfigError, VinnError
from vinn.reading.regular import reason_of


@contextmanager
def ray_session(workers: int, address: str | None) -> Iterator[Any]:
    """Ray, connected; what a worker raised as a `VinnError` is raised as that.

    Args:
        workers: processors to use where `address` is None.
        address: of a cluster, or None for processes of this machine.

    Raises:
        ConfigError: there is no such cluster, or no room for so many workers.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    options: dict[str, Any] = {"address": address}
    if address is None:
        options = {"address": "local", "num_cpus": workers, "include_dashboard": False}
    try:
        ray.init(**options, log_to_driver=False, configure_logging=False)
    except (ValueError, OSError, RuntimeError) as cause:
        place = f"{workers} workers" if address is None else f"--ray-address {address!r}"
        raise ConfigError(f"{place}: Ray does not begin: {reason_of(cause)}") from cause
    try:
        yield ray
    except ray.exceptions.RayTaskError as error:
        # What a worker raised, without its traceback on another machine.
        if isinstance(error.cause, VinnError):
            raise error.cause from None
        raise
    finally:
        ray.shutdown()


def by_workers(
    do: Callable[..., Any],
    pieces: Sequence[tuple[Any, ...]],
    workers: int,
    address: str | None,
    gpus: float = 0.0,
) -> Iterator[Any]:
    """What `do(*piece)` returns for every piece, as it comes; a worker does one at a time.

    Args:
        do: run in a process of a worker; pieces and results travel there and back.
        pieces: begun in this order; none: Ray is not started.
        workers: pieces in work at a time.
        address: see `ray_session`.
        gpus: of a worker, which sees no others; a share of one is allowed.

    Raises:
        ModuleNotFoundError: Ray is not installed.
        VinnError: what a worker raised; the others are ended.
    """
    if not pieces:
        return
    with ray_session(workers, address) as ray:
        remote = ray.remote(num_cpus=1, num_gpus=gpus)(do)
        waiting, working = list(pieces), list[Any]()
        while waiting or working:
            while waiting and len(working) < workers:
                working.append(remote.remote(*waiting.pop(0)))
            done, working = ray.wait(working)
            yield from ray.get(done)
