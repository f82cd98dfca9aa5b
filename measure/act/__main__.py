"""A parametric peer on Meta-World: LeRobot's ACT on the demonstrations and trials of the table.

    python3.11 -m venv lerobot-venv && lerobot-venv/bin/pip install 'lerobot==0.4.4'
    vinn eval tasks --preset metaworld --work runs/metaworld
    python -m measure.act --lerobot-python lerobot-venv/bin/python --work runs/metaworld

Same demonstrations, same scenes, same step loop as the table's rows. ACT's own backbone starts from
weights that no package index holds, so it sees the embedding of the picture that BC-Rep sees
(EfficientNet-Lite0 of ImageNet), and no state of the robot, as no row does. A killed run goes on
with the next trial. Adds its rows to docs/results/metaworld_act.*
"""

from __future__ import annotations

import argparse
import os
import subprocess
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

os.environ.setdefault("MUJOCO_GL", "egl")

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from vinn.demos.types import ActionScale
from vinn.encoders.encoder import Encoder, load_encoder, load_for_datasets
from vinn.evaluation.provenance import running_commit
from vinn.evaluation.results import Results
from vinn.evaluation.statistics import SuccessRate, paired_difference
from vinn.evaluation.trial_files import append_trial, cut_torn_trial, read_trials
from vinn.evaluation.trials import trial_seed
from vinn.learning.export import export_encoder
from vinn.paper.offline.config import load_tables_config
from vinn.paper.tasks.config import TaskTablesConfig, load_task_tables_config
from vinn.paper.tasks.run import ROLLOUT, RecordedTask, record_tasks, trials_path
from vinn.paper.tasks.trials import SceneTrial
from vinn.paper.workspace import Workspace
from vinn.policies.artefacts.embedding import embed_dataset
from vinn.policies.memory import GRIPPER_STATES
from vinn.policies.types import Prediction, TakenStep

PEER = "act"
BESIDE = ("bc-rep", "vinn-plus")
"""Rows of the table that the peer is compared with, trial by trial."""
progress = Console(stderr=True)


class ActPolicy:
    """ACT in a process of its own. It averages over what it said before: one question a step.

    Args:
        command: of `network.py answer`.
        encoder: of the pictures.
        action_scale: of the actions it learned.
    """

    def __init__(self, command: Sequence[str], encoder: Encoder, action_scale: ActionScale) -> None:
        self._encoder, self._action_scale = encoder, action_scale
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    @property
    def action_scale(self) -> ActionScale:
        """See `Policy.action_scale`."""
        return self._action_scale

    def reset(self) -> None:
        """An episode begins."""
        self._say(b"r")

    def predict(self, image_rgb: NDArray[np.uint8]) -> Prediction:
        """See `Policy.predict`."""
        embedding = self._encoder.encode(self._encoder.preprocessing.resize(image_rgb))
        self._say(b"e" + np.asarray(embedding, np.float32).tobytes())
        assert self._process.stdout is not None
        answer = self._process.stdout.read(4 * 4)
        if len(answer) != 4 * 4:
            raise SystemExit("ACT's process has ended: see above")
        said = np.frombuffer(answer, np.float32).astype(np.float64)
        state = float(np.clip(said[3], 0, GRIPPER_STATES - 1))
        probabilities = np.maximum(0.0, 1.0 - np.abs(np.arange(GRIPPER_STATES) - state))
        return Prediction(said[:3], state, probabilities, self._action_scale)

    def advance(self, prediction: Prediction, step: TakenStep) -> None:
        """Nothing to remember here."""

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def _say(self, request: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(request)
        self._process.stdin.flush()


def trained(task: RecordedTask, encoder: Path, given: argparse.Namespace) -> Path:
    """The model of a task's training demonstrations, trained once."""
    folder: Path = given.work / PEER / f"{task.data.name}-{task.seed}-{given.steps}"
    model = folder / "model.pt"
    if not model.exists():
        folder.mkdir(parents=True, exist_ok=True)
        data = task.data.train
        embedded = embed_dataset(data, load_for_datasets(encoder))
        actions = [np.column_stack([d.camera_delta, d.gripper]) for d in data.demonstrations]
        np.savez(
            folder / "frames.npz",
            embeddings=embedded.embeddings,
            actions=np.concatenate(actions).astype(np.float32),
            episodes=np.repeat(np.arange(len(actions)), [len(each) for each in actions]),
        )
        part = folder / "model.part"
        options = [folder / "frames.npz", given.steps, task.seed, part]
        subprocess.run(network(given, "train", *options), check=True, stdout=subprocess.DEVNULL)
        part.rename(model)
    return model


def network(given: argparse.Namespace, *arguments: object) -> list[str]:
    """The command line of `network.py` in the other environment."""
    script = Path(__file__).with_name("network.py")
    return [str(given.lerobot_python), str(script), *map(str, arguments)]


def run_trials(
    config: TaskTablesConfig,
    task: RecordedTask,
    path: Path,
    encoder: Path,
    given: argparse.Namespace,
) -> None:
    """The trials of a task that were not done yet."""
    kept = min(len(read_trials(path)), config.trials)
    if kept == config.trials:
        return
    progress.print(f"{task.data.name}, seed {task.seed}: training")
    model = trained(task, encoder, given)
    path.parent.mkdir(parents=True, exist_ok=True)
    cut_torn_trial(path)
    rollout = ROLLOUT.model_copy(update={"max_steps": config.max_steps})
    command = network(given, "answer", model)
    done = 0
    with closing(ActPolicy(command, load_encoder(encoder), task.data.train.action_scale)) as policy:
        for number in range(kept, config.trials):
            seed = trial_seed(task.seed, 0, number)
            trial = SceneTrial(policy, task.data.name, task.settings, number, seed, rollout)
            result = trial.run()
            append_trial(path, {**result.as_json(), "commit": running_commit()})
            done += result.success
    progress.print(f"{task.data.name}, seed {task.seed}: {done} of {config.trials - kept}")


def report(
    config: TaskTablesConfig,
    recorded: Sequence[RecordedTask],
    workspace: Workspace,
    title: str,
    results: Results,
) -> None:
    """Rates by task, means, and what sets it apart from rows of the table that were measured."""

    def successes(tasks: Sequence[str], method: str) -> list[bool]:
        return [
            bool(line["success"])
            for task in recorded
            if task.data.name in tasks
            for line in read_trials(trials_path(config, task, workspace, method))[: config.trials]
        ]

    strong = config.goal_tasks
    groups = {name: (name,) for name in config.tasks}
    groups["where retrieval should be strong"] = strong
    groups["where it should be weak"] = tuple(set(config.tasks) - set(strong))
    for what, tasks in groups.items():
        own = successes(tasks, PEER)
        if not own:
            continue
        rate = SuccessRate.of(own)
        results.add(f"{what}: {title}", round(100 * sum(own) / len(own), 1), f"% done, {rate}")
        for method in BESIDE:
            other = successes(tasks, method)
            if len(other) == len(own):
                pair = paired_difference(other, own)
                points = 100 * (sum(other) - sum(own)) / len(own)
                results.add(f"{what}: {method} minus {title}", round(points, 1), f"points, {pair}")


def main() -> None:
    """Train what is missing, do the trials that are missing, report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lerobot-python", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("runs/metaworld"))
    parser.add_argument("--preset", default="metaworld")
    parser.add_argument("--tasks", nargs="+", help="these of the preset's tasks only")
    parser.add_argument("--seeds", nargs="+", help="these of its seeds only")
    parser.add_argument("--steps", type=int, default=3000, help="of training, a task")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    given = parser.parse_args()
    config = load_task_tables_config(given.preset).part(given.tasks, None, given.seeds)
    training = load_tables_config(config.training)
    recorded = record_tasks(config, training, given.work / "data")
    workspace = Workspace(given.work, training, [task.data for task in recorded])
    encoder = given.work / PEER / "encoder"
    if not encoder.is_dir():
        export_encoder(training.backbone.name, encoder)
    try:
        for task in recorded:
            run_trials(config, task, trials_path(config, task, workspace, PEER), encoder, given)
    finally:
        workspace.close()
    command = f"python -m measure.act --lerobot-python OTHER_VENV/bin/python --steps {given.steps}"
    results = Results("metaworld_act", command, of_kept=True)
    report(config, recorded, workspace, f"ACT ({given.steps} steps)", results)
    results.write(given.out)


if __name__ == "__main__":
    main()
