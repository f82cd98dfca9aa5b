"""The demo's phases: demonstrations, policy, rollouts through the nodes, videos, report."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from vinn.errors import VinnError
from vinn.recordings.rollout_report import build_report, group_rates, summarize
from vinn.recordings.rollout_summary import RolloutDigest
from vinn.viz.output import write_text

from vinn_msgs.msg import RolloutStatus
from vinn_ros.bringup import graph
from vinn_ros.bringup.processes import BringUpError
from vinn_ros.demo import preparation
from vinn_ros.demo.display import DemoDisplay, Phase
from vinn_ros.demo.figures import frames_lost, write_results
from vinn_ros.demo.system import DemoSystem
from vinn_ros.demo.work import Work, WorkFailed, run_all
from vinn_ros.node.main import EXIT_BUG, EXIT_REFUSED

POLICY, CONTROL = "grasp point", "open loop"
CABINETS = ("oak", "white", "walnut")
WORKERS = 2
ROLLOUT_TIMEOUT_S = 300.0
"""More than the supervisor's own limits allow: whoever waits longer waits for a hung node."""
OVERVIEW_RATE_HZ = 5.0
ROLLOUT_SEEDS = 1_000_000
"""Rollouts count their seeds from here, demonstrations from 0: they share none."""
DOMAINS = range(20, 100)
"""ROS domains the demo picks from if ROS_DOMAIN_ID is not set, so as to disturb nobody."""

DEMONSTRATIONS = "demonstrations"
ENCODER = "encoder"
BUILD = "policy"
BRING_UP = "bring-up"
ROLLOUTS = "rollouts"
CONTROLS = "open-loop control"
VIDEOS = "videos"
REPORT = "report"
PHASES = (DEMONSTRATIONS, ENCODER, BUILD, BRING_UP, ROLLOUTS, CONTROLS, VIDEOS, REPORT)


class DemoFailed(Exception):
    """A phase failed; the message names it and where to read more."""

    def __init__(self, phase: str, cause: BaseException, log: Path) -> None:
        super().__init__(f"{phase}: {cause} (see {log})")
        self.exit_code = EXIT_REFUSED if isinstance(cause, VinnError) else EXIT_BUG


@dataclass(frozen=True)
class Settings:
    """What the demo does.

    Attributes:
        out: folder of everything it makes.
        demos_per_cabinet: demonstrations, all at `shown_difficulty`.
        trials: rollouts per cabinet and difficulty.
        control_trials: rollouts of the control, over all cabinets and difficulties.
        seed: of demonstrations and rollouts.
        difficulties: of the rollouts, in their order.
        keep: demonstrations and encoder of an earlier demo.
        results: folder of the results file; None: none is written.
    """

    out: Path
    demos_per_cabinet: int
    trials: int
    control_trials: int
    seed: int
    difficulties: tuple[str, ...]
    keep: bool
    results: Path | None

    @property
    def logs(self) -> Path:
        """One log file per phase or node."""
        return self.out / "logs"

    @property
    def shown_difficulty(self) -> str:
        """Difficulty of the demonstrations: the last one named, which shows the most variety."""
        return self.difficulties[-1]


@dataclass(frozen=True)
class Driven:
    """A rollout that was run."""

    name: str
    policy: str
    difficulty: str
    artefact: Path
    recording: Path


class Demo:
    """The phases, in order."""

    def __init__(self, settings: Settings, display: DemoDisplay) -> None:
        self.settings = settings
        self.display = display
        out = settings.out
        self.demos, self.encoder = out / "demos", out / "encoder"
        self.policy, self.control = out / "policy", out / "open_loop"
        self.recordings, self.videos = out / "recordings", out / "videos"
        self.camera_stamps_ns: set[int] = set()
        self.faults_cleared = 0

    def run(self) -> dict[str, object]:
        """Run every phase and return what stands in `summary.json`.

        Raises:
            DemoFailed: a phase failed.
        """
        self._record()
        self._export()
        built = self._build()
        driven = self._drive()
        digests = self._digest(driven)
        return self._report(built, digests)

    # Phases

    def _record(self) -> None:
        count, difficulty, seed = (
            self.settings.demos_per_cabinet,
            self.settings.shown_difficulty,
            self.settings.seed,
        )
        with self._phase(DEMONSTRATIONS) as phase:
            if self.demos.is_dir():
                phase.note("kept")
                return
            parts = self.settings.out / "demos.parts"
            works = [
                Work(
                    preparation.record,
                    (parts / cabinet, cabinet, count, difficulty, seed),
                    self._log(DEMONSTRATIONS),
                )
                for cabinet in CABINETS
            ]
            total = count * len(works)
            failed = sum(run_all(works, WORKERS, lambda done: phase.update(done, total)))
            preparation.merge([parts / cabinet for cabinet in CABINETS], self.demos)
            parts.rmdir()
            if failed:
                phase.note(f"{failed} attempts of the expert failed and were left out")

    def _export(self) -> None:
        with self._phase(ENCODER):
            run_all([Work(preparation.export, (self.encoder,), self._log(ENCODER))], 1)

    def _build(self) -> preparation.BuiltPolicy:
        for folder in (self.policy, self.control):
            shutil.rmtree(folder, ignore_errors=True)
        arguments = (self.demos, self.encoder, self.policy, self.control)
        work = Work(preparation.build, arguments, self._log(BUILD))
        with self._phase(BUILD) as phase:
            built: preparation.BuiltPolicy = work.start().result(phase.update)
            phase.note(
                f"{built.demonstrations} demonstrations, {built.frames} frames, "
                f"detector trained in {built.detector_s:.0f} s"
            )
        return built

    def _drive(self) -> list[Driven]:
        driven: list[Driven] = []
        with self._phase(BRING_UP):
            specs = graph.door_opening(
                "sim", str(self.policy), recordings=str(self.recordings.resolve())
            )
            specs = graph.with_settings(
                specs,
                [
                    f"stretch_sim.difficulty={self.settings.difficulties[0]}",
                    f"stretch_sim.overview_rate_hz={OVERVIEW_RATE_HZ}",
                    f"rollout_supervisor.seed={ROLLOUT_SEEDS + self.settings.seed}",
                ],
            )
            env = graph.environment("sim")
            env["ROS_DOMAIN_ID"] = os.environ.get(
                "ROS_DOMAIN_ID", str(DOMAINS[os.getpid() % len(DOMAINS)])
            )
            os.environ.update(env)
            system = DemoSystem(specs, env, self.settings.logs)
            system.start()
        try:
            scenes = [(d, cabinet) for d in self.settings.difficulties for cabinet in CABINETS]
            with self._phase(ROLLOUTS) as phase:
                trials = dict.fromkeys(scenes, self.settings.trials)
                driven += self._rollouts(system, phase, POLICY, self.policy, trials)
            with self._phase(CONTROLS) as phase:
                if self.settings.control_trials:
                    system.load_policy(self.control)
                trials = control_scenes(self.settings.control_trials, self.settings.difficulties)
                driven += self._rollouts(system, phase, CONTROL, self.control, trials)
        finally:
            system.stop()
            self.camera_stamps_ns = system.camera_stamps_ns
            self.faults_cleared = system.faults_cleared
        return driven

    def _rollouts(
        self,
        system: DemoSystem,
        phase: Phase,
        policy: str,
        artefact: Path,
        trials: Mapping[tuple[str, str], int],
    ) -> list[Driven]:
        """So many rollouts of a policy in each scene (difficulty, cabinet)."""
        driven: list[Driven] = []
        opened, total = 0, sum(trials.values())
        for (difficulty, cabinet), count in trials.items():
            system.set_parameters("stretch_sim", {"difficulty": difficulty, "cabinet": cabinet})
            for trial in range(count):
                name = f"{policy.replace(' ', '-')}-{difficulty}-{cabinet}-{trial:02d}"
                phase.note(f"opened {opened} of {len(driven)}   {name}")
                system.reset()
                status = system.run_rollout(name, ROLLOUT_TIMEOUT_S)
                opened += status.outcome == RolloutStatus.SUCCESS
                driven.append(Driven(name, policy, difficulty, artefact, Path(status.recording)))
                phase.update(len(driven), total)
                phase.note(f"opened {opened} of {len(driven)}")
        return driven

    def _digest(self, driven: Sequence[Driven]) -> list[RolloutDigest]:
        jobs = [
            (each.recording, each.policy, each.artefact, self.videos / f"{each.name}.mp4")
            for each in driven
        ]
        works = [
            Work(preparation.digest, (jobs[part::WORKERS],), self._log(VIDEOS))
            for part in range(WORKERS)
        ]
        with self._phase(VIDEOS) as phase:
            parts = run_all(works, WORKERS, lambda done: phase.update(done, len(jobs)))
        by_recording = {digest.recording: digest for part in parts for digest in part}
        return [replace(by_recording[each.recording], condition=each.difficulty) for each in driven]

    def _report(
        self, built: preparation.BuiltPolicy, digests: Sequence[RolloutDigest]
    ) -> dict[str, object]:
        settings = self.settings
        with self._phase(REPORT):
            facts = {
                "task": "open the doors of three cabinets, difficulty "
                + " and ".join(settings.difficulties),
                "policy": f"preset {preparation.PRESET}",
                "demonstrations": f"{built.demonstrations} by a scripted expert, difficulty "
                f"{settings.shown_difficulty}",
                "frames": str(built.frames),
                "encoder": f"{preparation.ENCODER}, ImageNet weights, frozen",
                "detector of grasp points": f"trained in {built.detector_s:.0f} s",
                "processes": "one per node, started by service calls",
                "seed": str(settings.seed),
            }
            build_report(
                "Doors opened by nearest neighbours",
                "Every rollout below ran through separate ROS 2 node processes in MuJoCo physics.",
                digests,
                POLICY,
                facts,
                self.display.durations_s,
            ).write(settings.out / "report.html")
        phases_s = self.display.durations_s
        summary: dict[str, object] = {
            **summarize(digests, POLICY),
            "groups": [group.as_json() for group in group_rates(digests)],
            "preset": preparation.PRESET,
            "detector_s": built.detector_s,
            "encoder": preparation.ENCODER,
            "demonstrations": built.demonstrations,
            "frames": built.frames,
            "difficulties": list(settings.difficulties),
            "shown_difficulty": settings.shown_difficulty,
            "seed": settings.seed,
            "camera_frames_lost": frames_lost(digests, self.camera_stamps_ns),
            "faults_cleared": self.faults_cleared,
            "duration_s": round(sum(phases_s.values()), 1),
            "phases_s": {name: round(seconds, 1) for name, seconds in phases_s.items()},
        }
        if settings.control_trials:
            summary["control"] = summarize(digests, CONTROL)
        write_text(settings.out / "summary.json", json.dumps(summary, indent=2) + "\n")
        if settings.results is not None:
            write_results(settings.results, summary)
        return summary

    # Inside

    def _log(self, phase: str) -> Path:
        return self.settings.logs / f"{phase.replace(' ', '_')}.log"

    @contextmanager
    def _phase(self, name: str) -> Iterator[Phase]:
        """A phase whose errors name it and its log."""
        with self.display.phase(name) as phase:
            try:
                yield phase
            except (VinnError, WorkFailed, BringUpError, OSError) as error:
                nodes = name in (BRING_UP, ROLLOUTS, CONTROLS)
                log = self.settings.logs if nodes else self._log(name)
                raise DemoFailed(name, error, log) from error


def control_scenes(count: int, difficulties: Sequence[str]) -> dict[tuple[str, str], int]:
    """`count` rollouts dealt to the difficulties, and there to the cabinets, as evenly as they go.

    Keys are (difficulty, cabinet).
    """
    return {
        (difficulty, cabinet): share
        for difficulty, part in spread(count, difficulties).items()
        for cabinet, share in spread(part, CABINETS).items()
    }


def spread(count: int, names: Sequence[str]) -> dict[str, int]:
    """`count` trials dealt to the names as evenly as they go, the first ones first."""
    share, rest = divmod(count, len(names))
    return {name: share + (i < rest) for i, name in enumerate(names)}
