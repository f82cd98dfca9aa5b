"""A session of Ray, the extra `ray`: on this machine alone, or in a cluster that is there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vinn.errors import VinnError


@contextmanager
def ray_session(workers: int, address: str | None) -> Iterator[Any]:
    """Ray, connected; what a worker raised as a `VinnError` is raised as that.

    Args:
        workers: processors to use where `address` is None.
        address: of a cluster, or None for processes of this machine.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    options: dict[str, Any] = {"address": address}
    if address is None:
        options = {"address": "local", "num_cpus": workers, "include_dashboard": False}
    ray.init(**options, log_to_driver=False, configure_logging=False)
    try:
        yield ray
    except ray.exceptions.RayTaskError as error:
        # What a worker raised, without its traceback on another machine.
        if isinstance(error.cause, VinnError):
            raise error.cause from None
        raise
    finally:
        ray.shutdown()
