"""The simulated world in a thread of its own: physics, rendering, and everything that touches them.

MuJoCo's renderer belongs to one thread, so physics and rendering share it; other threads hand it
work. No ROS here: the node gives callbacks for what comes out.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from vinn.errors import RobotError
from vinn.robot.types import JointCommand, RobotState
from vinn.sim.driver import SimulatedStretch
from vinn.sim.scene import SceneConfig
from vinn.sim.world import DoorWorld

_CHUNK_S = 0.02
"""Simulated time between two looks at the clock."""
_SETTLING_S = 0.5
"""So long after a command, or after anything moved, the scene counts as moving [simulated s]."""
_STILL = 2e-3
"""Joints and door slower than this rest [m/s, rad/s]."""
_LARGEST_LAG_S = 0.1
"""A simulation that cannot keep up with its pace falls behind instead of catching up later."""


@dataclass(frozen=True)
class Rates:
    """How often things come out, per second of the clock on the wall."""

    joints_hz: float
    wrist_hz: float
    overview_hz: float
    scene_hz: float


@dataclass(frozen=True)
class Outputs:
    """What is told to whom; all are called in the simulation's thread."""

    joints: Callable[[SimulatedStretch], None]
    wrist: Callable[[Callable[[], NDArray[np.uint8]]], None]
    """Told how to take the image, so that it can be stamped before."""
    overview: Callable[[Callable[[], NDArray[np.uint8]]], None]
    scene: Callable[[DoorWorld], None]


class Simulation:
    """Runs a `DoorWorld`, paced or as fast as it goes.

    Unpaced (`real_time_factor` 0), physics runs free while something moves; at rest it keeps real
    time, since nothing would change and the processor has better things to do.
    """

    def __init__(
        self, scene: SceneConfig, real_time_factor: float, rates: Rates, outputs: Outputs
    ) -> None:
        """Args: what is simulated, simulated seconds per second (0: unpaced), what comes out."""
        self._scene = scene
        self._factor = real_time_factor
        self._outputs = outputs
        self._tasks: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="simulation", daemon=True)
        self._ready: Future[None] = Future()
        self._periods = {
            self._publish_joints: 1.0 / rates.joints_hz,
            self._publish_wrist: 1.0 / rates.wrist_hz,
            self._publish_scene: 1.0 / rates.scene_hz,
        }
        if rates.overview_hz > 0:
            self._periods[self._publish_overview] = 1.0 / rates.overview_hz
        self._moving_until_s = 0.0
        self._opened = False
        self._ended = False
        self.failure: BaseException | None = None
        """What ended the thread, if it was not asked to end."""

    def start(self) -> None:
        """Build the world and begin; returns when it runs.

        Raises:
            vinn.errors.VinnError: the scene cannot be built.
        """
        self._thread.start()
        self._ready.result()

    def stop(self) -> None:
        """End and wait for the thread."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5.0)

    def submit(self, action: Callable[[SimulatedStretch], Any]) -> Future[Any]:
        """Do something with the robot between two physics steps."""
        future: Future[Any] = Future()
        self._tasks.put((lambda: action(self._robot), future))
        if self._ended:
            self._refuse_tasks()
        return future

    def command(self, command: JointCommand) -> Future[Any]:
        """Send a command to the robot; the future fails if it is refused."""

        def send(robot: SimulatedStretch) -> None:
            robot.send(command)
            self._moving_until_s = robot.now_s() + _SETTLING_S

        return self.submit(send)

    def reset(self, scene: SceneConfig, seed: int, offset_m: NDArray[np.float64]) -> Future[Any]:
        """Put everything back to the start; another scene is built anew."""

        def action(robot: SimulatedStretch) -> None:
            if scene != self._scene:
                self._build(scene, seed)
            self._robot.world.reset(seed, offset_m)
            self._scene = scene
            self._opened = False

        return self.submit(action)

    @property
    def state(self) -> RobotState:
        """Mode, homing and runstop as they were last seen; not for positions."""
        return self._robot.state()

    # The thread

    def _run(self) -> None:
        try:
            self._build(self._scene, seed=0)
            self._ready.set_result(None)
        except BaseException as error:
            self._ready.set_exception(error)
            return
        try:
            self._loop()
        except BaseException as error:
            self.failure = error
            raise
        finally:
            self._refuse_tasks()
            self._robot.world.close()

    def _build(self, scene: SceneConfig, seed: int) -> None:
        """Make the world; the robot keeps its mode, homing and runstop."""
        before = getattr(self, "_robot", None)
        robot = SimulatedStretch(DoorWorld(scene, seed))
        if before is not None:
            state = before.state()
            robot.set_mode(state.mode)
            robot.set_homed(state.homed)
            robot.set_runstop(state.runstopped)
            before.world.close()
        self._robot = robot
        # The first image of a scene takes a second (textures): better here than in a rollout.
        robot.world.wrist_image()

    def _loop(self) -> None:
        due_s = dict.fromkeys(self._periods, 0.0)
        physics_s = time.monotonic()
        while not self._stopping.is_set():
            self._work_off_tasks()
            physics_s = self._advance(physics_s)
            now_s = time.monotonic()
            for publish, period_s in self._periods.items():
                if now_s >= due_s[publish]:
                    # Late ones are left out, not made up for.
                    due_s[publish] = max(due_s[publish] + period_s, now_s + 0.5 * period_s)
                    publish()

    def _work_off_tasks(self) -> None:
        while not self._tasks.empty():
            action, future = self._tasks.get()
            try:
                future.set_result(action())
            except Exception as error:
                future.set_exception(error)

    def _refuse_tasks(self) -> None:
        """Whoever still waits for the simulation learns that it has ended."""
        self._ended = True
        while not self._tasks.empty():
            _, future = self._tasks.get()
            future.set_exception(RobotError("the simulation has ended"))

    def _advance(self, physics_s: float) -> float:
        """One chunk of physics, and the wait for its time where it is paced."""
        moving = self._moving()
        factor = self._factor or 1.0
        if self._factor == 0.0 and moving:
            self._robot.wait(_CHUNK_S)
            return time.monotonic()
        lag_s = time.monotonic() - physics_s
        if lag_s < _CHUNK_S / factor:
            self._wait_for_task(_CHUNK_S / factor - lag_s)
            return physics_s
        self._robot.wait(_CHUNK_S)
        return max(physics_s + _CHUNK_S / factor, time.monotonic() - _LARGEST_LAG_S)

    def _wait_for_task(self, seconds: float) -> None:
        """Sleep, but not through a command."""
        try:
            task = self._tasks.get(timeout=min(seconds, 0.005))
        except queue.Empty:
            return
        self._tasks.put(task)

    def _moving(self) -> bool:
        robot = self._robot
        now_s = robot.now_s()
        speeds = [abs(v) for v in robot.world.joint_velocities().values()]
        if max(*speeds, *(abs(v) for v in robot.world.base_velocity())) > _STILL:
            self._moving_until_s = max(self._moving_until_s, now_s + 0.1)
        return now_s < self._moving_until_s

    def _publish_joints(self) -> None:
        self._outputs.joints(self._robot)
        if self._robot.world.opened and not self._opened:
            self._opened = True
            self._publish_scene()

    def _publish_wrist(self) -> None:
        self._outputs.wrist(self._robot.world.wrist_image)

    def _publish_overview(self) -> None:
        self._outputs.overview(self._robot.world.overview_image)

    def _publish_scene(self) -> None:
        self._outputs.scene(self._robot.world)
