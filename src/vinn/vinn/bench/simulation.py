"""What the simulated Stretch costs: physics, and the frames of its wrist camera."""

from __future__ import annotations

from dataclasses import dataclass

from vinn.bench.timing import in_turns

_CHUNK_S = 0.2
_FRAMES = 10


@dataclass(frozen=True)
class SimulationCost:
    """Costs of the door-opening scene at rest.

    Attributes:
        physics_factor: simulated seconds per second.
        frame_ms: a frame of the wrist camera, 224 x 224 pixels.
    """

    physics_factor: float
    frame_ms: float


def simulation_cost(repeats: int) -> SimulationCost:
    """Measure both in turns. Needs the 'sim' extra."""
    from vinn.sim.world import DoorWorld

    with DoorWorld() as world:

        def frames() -> None:
            for _ in range(_FRAMES):
                world.wrist_image()

        timings = in_turns({"physics": lambda: world.step(_CHUNK_S), "frames": frames}, repeats)
    return SimulationCost(
        physics_factor=_CHUNK_S / timings["physics"].median_s,
        frame_ms=timings["frames"].median_ms / _FRAMES,
    )
