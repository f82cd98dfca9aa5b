"""Training a detector of grasp points where a policy needs one: in a process of its own."""

from __future__ import annotations

from pathlib import Path

from vinn.demos.store import Dataset
from vinn.demos.types import ActionScale
from vinn.evaluation.own_process import OwnProcess
from vinn.robot.config import RobotConfig, load_robot_config

UNIT_STEP_M = 0.025
"""Length of a step for an action of length 1 in the comparisons (`ClosedLoopConfig.scale_m`)."""


class DetectorTraining:
    """`vinn.policies.artefacts.build_preset.TrainDetector` for one robot. It starts when needed."""

    def __init__(self, robot: RobotConfig, seed: int = 0) -> None:
        self._robot, self._seed = robot, seed
        self._process = OwnProcess()

    def __call__(self, dataset: Dataset, encoder_dir: Path, out_dir: Path) -> Path:
        """Train on demonstrations and write to `out_dir`; see `train_grasp_point`."""
        return self._process.call(
            train_detector, dataset, encoder_dir, out_dir, self._robot, self._seed
        )

    def close(self) -> None:
        """End the process."""
        self._process.close()


def robot_config(path: Path | None) -> RobotConfig:
    """A robot's configuration; None: the simulated robot's.

    Raises:
        ConfigError: the file is missing or malformed.
    """
    return RobotConfig() if path is None else load_robot_config(path)


def robot_of_actions(
    scale: ActionScale, step_m: float = UNIT_STEP_M, robot: RobotConfig | None = None
) -> RobotConfig:
    """A robot's configuration, by default the simulated one's, for actions in metres or of length
    1, which are then `step_m` long."""
    robot = robot or RobotConfig()
    if scale is ActionScale.METRIC:
        return robot
    motion = {"action_scale": scale, "scale": (step_m,) * 3}
    return robot.model_copy(update={"motion": robot.motion.model_copy(update=motion)})


def train_detector(
    dataset: Dataset,
    encoder_dir: Path,
    out_dir: Path,
    robot: RobotConfig,
    seed: int,
    mirrored: bool = True,
) -> Path:
    """`train_grasp_point` with its usual budget, for `OwnProcess.call`."""
    from vinn.learning.config import GraspPointConfig
    from vinn.learning.grasp.training import train_grasp_point

    config = GraspPointConfig(seed=seed, mirrored=mirrored)
    return train_grasp_point(dataset, encoder_dir, out_dir, robot, config)
