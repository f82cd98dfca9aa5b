"""The simulated world: Stretch before a cabinet, its physics, cameras and ground truth."""

from __future__ import annotations

import math
from types import TracebackType

import mujoco
import numpy as np
from numpy.typing import NDArray

from vinn.errors import ConfigError
from vinn.robot.types import JointCommand
from vinn.sim.appearance import SceneAppearance
from vinn.sim.camera_sensor import CameraSensor
from vinn.sim.rendering import SceneRenderer
from vinn.sim.scene import SceneConfig
from vinn.sim.scene_model import DOOR_HINGE, HANDLE_GEOMS, HANDLE_SITE, build_model
from vinn.sim.stretch_model import (
    ARM_JOINTS,
    FINGER_JOINTS,
    GRASP_CENTER,
    JOINTS,
    PAD_GEOMS,
    WRIST_CAMERA,
    aperture_to_finger_rad,
    finger_rad_to_aperture,
)

OPENED_RAD = math.radians(30.0)
FULLY_OPENED_RAD = math.radians(60.0)
OVERVIEW_WIDTH_PX, OVERVIEW_HEIGHT_PX = 480, 360

_CONTROL_PERIOD_S = 0.01
_LATCH_REACH_RAD = math.radians(1.5)

_BASE = [JOINTS.index(name) for name in ("base_x", "base_y")]
_YAW = JOINTS.index("base_yaw")
_LIFT = JOINTS.index("joint_lift")
_ARM = [JOINTS.index(name) for name in ARM_JOINTS]
_WRIST = [JOINTS.index(f"joint_wrist_{axis}") for axis in ("yaw", "pitch", "roll")]
_FINGERS = [JOINTS.index(name) for name in FINGER_JOINTS]


class DoorWorld:
    """One scene. Time passes only in `step`. Not thread-safe.

    Everything random (start offset, appearance, latch, sensor noise) follows from the seed of the
    last `reset`, so that the same calls give the same images and motions.

    Args:
        scene: what is simulated.
        seed: of the first episode.
    """

    def __init__(self, scene: SceneConfig | None = None, seed: int = 0) -> None:
        self.scene = scene or SceneConfig()
        self.model = build_model(self.scene)
        self.data = mujoco.MjData(self.model)
        self._renderer = SceneRenderer(self.model)
        camera = self.scene.camera
        self._sensor = CameraSensor(camera.width_px, camera.height_px, self.scene.difficulty)
        self._appearance = SceneAppearance(self.model, self.scene)
        self._joint_qpos = np.array([self.model.joint(n).qposadr[0] for n in JOINTS])
        self._joint_dof = np.array([self.model.joint(n).dofadr[0] for n in JOINTS])
        self._door_qpos = int(self.model.joint(DOOR_HINGE).qposadr[0])
        self._door_dof = int(self.model.joint(DOOR_HINGE).dofadr[0])
        self._pads = {self.model.geom(name).id for name in PAD_GEOMS}
        self._is_handle = np.zeros(self.model.ngeom, bool)
        self._is_handle[[self.model.geom(name).id for name in HANDLE_GEOMS]] = True
        self._speeds = self._joint_speeds()
        self._substeps = round(_CONTROL_PERIOD_S / self.model.opt.timestep)
        self.reset(seed)

    def __enter__(self) -> DoorWorld:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free the renderers."""
        self._renderer.close()

    def reset(self, seed: int, offset_gripper_m: NDArray[np.float64] | None = None) -> None:
        """Close the door, redraw what the seed decides, put the robot in front of the door.

        Args:
            seed: of the episode, 0 or more.
            offset_gripper_m: (3,) displacement of the start in gripper axes (right, forward, up)
                [m]; None draws it from the difficulty's range.
        """
        if seed < 0:
            raise ConfigError(f"seed = {seed}; allowed: 0 or more")
        difficulty = self.scene.difficulty
        if offset_gripper_m is None:
            offset_gripper_m = difficulty.start_offset(seed)
        if np.shape(offset_gripper_m) != (3,) or not np.isfinite(offset_gripper_m).all():
            raise ConfigError(
                f"offset_gripper_m = {offset_gripper_m}; allowed: three finite numbers"
            )
        rng = np.random.default_rng([seed, 0xD00])
        self.seed = seed
        self._latch_nm = float(rng.uniform(*difficulty.latch_nm))
        self._appearance.redraw(rng)
        self._sensor.reset(seed)
        self._grasped = self._opened = self._fully_opened = False
        mujoco.mj_resetData(self.model, self.data)
        self._goal = self._start_joints(np.asarray(offset_gripper_m, dtype=np.float64))
        self._setpoint = self._goal.copy()
        self.data.qpos[self._joint_qpos] = self._goal
        self.data.ctrl[:] = self._setpoint
        self._remainder_s = 0.0
        mujoco.mj_forward(self.model, self.data)

    # --- time and commands -------------------------------------------------------------------

    @property
    def time_s(self) -> float:
        """Simulated time since the last reset [s]."""
        return float(self.data.time)

    def step(self, seconds: float) -> None:
        """Let `seconds` of simulated time pass; joint targets are approached at joint speeds."""
        if not (math.isfinite(seconds) and seconds >= 0.0):
            raise ConfigError(f"seconds = {seconds}; allowed: 0 or more")
        self._remainder_s += seconds
        # The small allowance keeps 0.02 s two periods in spite of rounding.
        while self._remainder_s > _CONTROL_PERIOD_S - 1e-9:
            self._remainder_s -= _CONTROL_PERIOD_S
            self._control_step()

    def command(self, command: JointCommand) -> None:
        """Set joint targets; the base moves by its increment from where it measurably is."""
        measured = self.data.qpos[self._joint_qpos]
        if command.base_translate_m:
            heading = measured[_YAW]
            direction = np.array([math.cos(heading), math.sin(heading)])
            self._goal[_BASE] = measured[_BASE] + command.base_translate_m * direction
        if command.base_rotate_rad:
            self._goal[_YAW] = measured[_YAW] + command.base_rotate_rad
        self._goal[_LIFT] = command.lift_m
        self._goal[_ARM] = command.arm_m / len(_ARM)
        self._goal[_WRIST] = (
            command.wrist_yaw_rad,
            command.wrist_pitch_rad,
            command.wrist_roll_rad,
        )
        self._goal[_FINGERS] = aperture_to_finger_rad(command.gripper_aperture_m)

    def hold(self) -> None:
        """Stop every joint where it is. The gripper keeps what it was told: it must not let go."""
        measured = self.data.qpos[self._joint_qpos]
        fingers = self._goal[_FINGERS]
        self._goal = measured.copy()
        self._goal[_FINGERS] = fingers
        self._setpoint[: min(_FINGERS)] = self._goal[: min(_FINGERS)]

    # --- joints ------------------------------------------------------------------------------

    @property
    def lift_m(self) -> float:
        """Measured lift."""
        return float(self._position(_LIFT))

    @property
    def arm_m(self) -> float:
        """Measured arm extension, the sum of its four segments."""
        return float(self._position(_ARM).sum())

    @property
    def wrist_rad(self) -> tuple[float, float, float]:
        """Measured wrist yaw, pitch and roll."""
        yaw, pitch, roll = (float(v) for v in self._position(_WRIST))
        return yaw, pitch, roll

    @property
    def gripper_aperture_m(self) -> float:
        """Distance between the finger pads."""
        return finger_rad_to_aperture(float(self._position(_FINGERS).mean()))

    @property
    def base_pose(self) -> tuple[float, float, float]:
        """Odometry (x [m], y [m], theta [rad]) since the last reset."""
        x, y = (float(v) for v in self._position(_BASE))
        return x, y, float(self._position(_YAW))

    def joint_positions(self) -> dict[str, float]:
        """Positions by the names Stretch's driver publishes [m, rad]."""
        return self._by_published_name(self.data.qpos[self._joint_qpos])

    def joint_velocities(self) -> dict[str, float]:
        """Velocities by the names Stretch's driver publishes [m/s, rad/s]."""
        return self._by_published_name(self.data.qvel[self._joint_dof])

    def base_velocity(self) -> tuple[float, float]:
        """Forward [m/s] and turning [rad/s] speed of the base."""
        velocity = self.data.qvel[self._joint_dof]
        heading = float(self._position(_YAW))
        vx, vy = velocity[_BASE]
        return float(vx * math.cos(heading) + vy * math.sin(heading)), float(velocity[_YAW])

    # --- ground truth ------------------------------------------------------------------------

    @property
    def door_angle_rad(self) -> float:
        """How far the door is open; 0 is closed."""
        return float(self.data.qpos[self._door_qpos])

    @property
    def grasping(self) -> bool:
        """Both finger pads touch the handle, and the gripper was told to close on it, right now."""
        closing = finger_rad_to_aperture(float(self._goal[_FINGERS].mean()))
        if closing >= 2.0 * self.scene.cabinet.handle.radius_m:
            return False
        # All contacts at once: this is asked for at every control step.
        pairs = self.data.contact.geom
        on_handle = pairs[self._is_handle[pairs[:, ::-1]]]
        return self._pads <= set(on_handle.tolist())

    @property
    def grasped(self) -> bool:
        """The handle is or was grasped in this episode."""
        return self._grasped

    @property
    def opened(self) -> bool:
        """The door was 30 degrees open in this episode."""
        return self._opened

    @property
    def fully_opened(self) -> bool:
        """The door was 60 degrees open in this episode."""
        return self._fully_opened

    @property
    def grasp_center_m(self) -> NDArray[np.float64]:
        """(3,) point between the finger tips, in the world [m]."""
        return np.array(self.data.body(GRASP_CENTER).xpos)

    @property
    def handle_m(self) -> NDArray[np.float64]:
        """(3,) middle of the handle, in the world [m]."""
        return np.array(self.data.site(HANDLE_SITE).xpos)

    @property
    def world_R_camera(self) -> NDArray[np.float64]:
        """(3, 3) the wrist camera's optical axes (x right, y down, z forward) in the world."""
        mujoco_axes = np.array(self.data.cam(WRIST_CAMERA).xmat).reshape(3, 3)
        rotation: NDArray[np.float64] = mujoco_axes @ np.diag([1.0, -1.0, -1.0])
        return rotation

    def handle_at(self, door_angle_rad: float) -> NDArray[np.float64]:
        """(3,) where the middle of the handle is at a door angle, in the world [m]."""
        anchor = np.array(self.data.joint(DOOR_HINGE).xanchor)
        axis = np.array(self.data.joint(DOOR_HINGE).xaxis)
        arm = self.handle_m - anchor
        turn = door_angle_rad - self.door_angle_rad
        # Rodrigues' formula.
        turned = (
            arm * math.cos(turn)
            + np.cross(axis, arm) * math.sin(turn)
            + axis * (axis @ arm) * (1.0 - math.cos(turn))
        )
        position: NDArray[np.float64] = anchor + turned
        return position

    # --- cameras -----------------------------------------------------------------------------

    def wrist_image(self) -> NDArray[np.uint8]:
        """A frame of the wrist camera, (H, W, 3) uint8 RGB, with fresh sensor noise."""
        camera = self.scene.camera
        image = self._renderer.render(self.data, WRIST_CAMERA, camera.width_px, camera.height_px)
        return self._sensor.expose(image)

    def overview_image(
        self, width_px: int = OVERVIEW_WIDTH_PX, height_px: int = OVERVIEW_HEIGHT_PX
    ) -> NDArray[np.uint8]:
        """The whole scene from beside the robot, (H, W, 3) uint8 RGB."""
        pose = self.scene.world_T_cabinet()
        camera = mujoco.MjvCamera()
        camera.lookat = pose[:3, 3] + pose[:3, :3] @ np.array([0.0, -0.15, -0.05])
        camera.distance, camera.elevation = 1.35, -22.0
        # From the handle's side of the door, so that the opening is seen.
        side = 1.0 if self.scene.cabinet.hinge_side == "left" else -1.0
        forward = math.degrees(math.atan2(pose[1, 1], pose[0, 1]))
        camera.azimuth = forward + side * 50.0
        return self._renderer.render(self.data, camera, width_px, height_px)

    # --- inside ------------------------------------------------------------------------------

    def _control_step(self) -> None:
        reach = self._speeds * _CONTROL_PERIOD_S
        self._setpoint += np.clip(self._goal - self._setpoint, -reach, reach)
        self.data.ctrl[:] = self._setpoint
        if self._latch_nm:
            # A magnet: strongest at the closed door, gone after a few degrees.
            pull = self._latch_nm * math.exp(-max(self.door_angle_rad, 0.0) / _LATCH_REACH_RAD)
            self.data.qfrc_applied[self._door_dof] = -pull
        mujoco.mj_step(self.model, self.data, self._substeps)
        angle = self.door_angle_rad
        self._opened |= angle >= OPENED_RAD
        self._fully_opened |= angle >= FULLY_OPENED_RAD
        if not self._grasped:
            self._grasped = self.grasping

    def _start_joints(self, offset_gripper_m: NDArray[np.float64]) -> NDArray[np.float64]:
        start, tool = self.scene.start_pose, self.scene.tool
        right, forward, up = offset_gripper_m
        cabinet = self.scene.world_T_cabinet()[:3, :3]
        shift = right * cabinet[:, 0] + forward * cabinet[:, 1]
        joints = np.zeros(len(JOINTS))
        joints[_BASE[0]] = shift[0]
        joints[_LIFT] = start.lift_m + up
        joints[_ARM] = (start.arm_m - shift[1]) / len(_ARM)
        joints[_WRIST] = (start.wrist_yaw_rad, start.wrist_pitch_rad, start.wrist_roll_rad)
        aperture = min(tool.gripper_open_aperture_m, self.scene.difficulty.gripper_aperture_m)
        joints[_FINGERS] = aperture_to_finger_rad(aperture)
        return joints

    def _joint_speeds(self) -> NDArray[np.float64]:
        speeds = self.scene.speeds
        limits = np.empty(len(JOINTS))
        limits[_BASE] = speeds.base_m_s
        limits[_YAW] = speeds.base_rad_s
        limits[_LIFT] = speeds.lift_m_s
        limits[_ARM] = speeds.arm_m_s / len(_ARM)
        limits[_WRIST] = speeds.wrist_rad_s
        limits[_FINGERS] = aperture_to_finger_rad(speeds.gripper_m_s) - aperture_to_finger_rad(0.0)
        return limits

    def _position(self, index: int | list[int]) -> NDArray[np.float64]:
        values: NDArray[np.float64] = self.data.qpos[self._joint_qpos[index]]
        return values

    @staticmethod
    def _by_published_name(values: NDArray[np.float64]) -> dict[str, float]:
        named = {name: float(values[JOINTS.index(name)]) for name in JOINTS[3:]}
        named["wrist_extension"] = float(values[_ARM].sum())
        return named
