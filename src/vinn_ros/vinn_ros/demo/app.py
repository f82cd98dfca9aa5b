"""`vinn-demo`: record, build, open doors with separate node processes, and report.

Every number comes from what the nodes recorded; the demo itself only calls their services, as an
operator would.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from vinn.errors import ConfigError, VinnError
from vinn.recordings.rollout_report import build_report, summarize
from vinn.recordings.rollout_summary import RolloutDigest
from vinn.sim.difficulty import difficulty_named
from vinn.viz.output import write_text

from vinn_msgs.msg import RolloutStatus
from vinn_ros.bringup import graph
from vinn_ros.bringup.processes import BringUpError
from vinn_ros.demo import preparation
from vinn_ros.demo.display import DemoDisplay, Phase
from vinn_ros.demo.figures import frames_lost, write_results
from vinn_ros.demo.system import DemoSystem
from vinn_ros.demo.work import Work, WorkFailed, run_all

POLICY, CONTROL = "vinn", "open loop"
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

EXIT_FAILED, EXIT_REFUSED, EXIT_INTERRUPTED = 1, 2, 130
MARKER = ".vinn-demo"
"""Says that a folder was made by a demo, and may be replaced by the next one."""


class DemoFailed(Exception):
    """A phase failed; the message names it and where to read more."""

    def __init__(self, phase: str, cause: BaseException, log: Path) -> None:
        super().__init__(f"{phase}: {cause} (see {log})")
        self.exit_code = EXIT_REFUSED if isinstance(cause, VinnError) else EXIT_FAILED


@dataclass(frozen=True)
class Settings:
    """What the demo does."""

    out: Path
    demos_per_cabinet: int
    trials: int
    control_trials: int
    seed: int
    difficulty: str
    keep: bool
    results: Path | None

    @property
    def logs(self) -> Path:
        """One log file per phase or node."""
        return self.out / "logs"


@dataclass(frozen=True)
class Driven:
    """A rollout that was run."""

    name: str
    policy: str
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
            self.settings.difficulty,
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
                f"k {built.k}, bandwidth {built.bandwidth:.3g}"
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
                    f"stretch_sim.difficulty={self.settings.difficulty}",
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
            trials = dict.fromkeys(CABINETS, self.settings.trials)
            with self._phase(ROLLOUTS) as phase:
                driven += self._rollouts(system, phase, POLICY, self.policy, trials)
            with self._phase(CONTROLS) as phase:
                if self.settings.control_trials:
                    system.load_policy(self.control)
                trials = spread(self.settings.control_trials, CABINETS)
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
        trials: dict[str, int],
    ) -> list[Driven]:
        driven: list[Driven] = []
        opened, total = 0, sum(trials.values())
        for cabinet, count in trials.items():
            system.set_parameters("stretch_sim", {"cabinet": cabinet})
            for trial in range(count):
                name = f"{policy.replace(' ', '-')}-{cabinet}-{trial:02d}"
                phase.note(f"opened {opened} of {len(driven)}   {name}")
                system.reset()
                status = system.run_rollout(name, ROLLOUT_TIMEOUT_S)
                opened += status.outcome == RolloutStatus.SUCCESS
                driven.append(Driven(name, policy, artefact, Path(status.recording)))
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
        return [by_recording[each.recording] for each in driven]

    def _report(
        self, built: preparation.BuiltPolicy, digests: Sequence[RolloutDigest]
    ) -> dict[str, object]:
        settings = self.settings
        with self._phase(REPORT):
            facts = {
                "task": f"open the doors of three cabinets, difficulty {settings.difficulty}",
                "demonstrations": f"{built.demonstrations} by a scripted expert",
                "frames": str(built.frames),
                "encoder": f"{preparation.ENCODER}, ImageNet weights, frozen",
                "k": f"{built.k} (leave one demonstration out)",
                "bandwidth": f"{built.bandwidth:.4g} (leave one demonstration out)",
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
            "k": built.k,
            "bandwidth": built.bandwidth,
            "encoder": preparation.ENCODER,
            "demonstrations": built.demonstrations,
            "frames": built.frames,
            "difficulty": settings.difficulty,
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


def spread(count: int, cabinets: Sequence[str]) -> dict[str, int]:
    """`count` trials dealt to the cabinets as evenly as they go."""
    share, rest = divmod(count, len(cabinets))
    return {cabinet: share + (i < rest) for i, cabinet in enumerate(cabinets)}


def command_line(name: str) -> str:
    """How the user in front of this terminal calls a command that is installed beside Python."""
    beside = Path(sys.executable).with_name(name)
    if shutil.which(name) or not beside.exists():
        return name
    return os.path.relpath(beside)


def prepare_folder(out: Path, keep: bool) -> None:
    """Make the demo's folder, or clear what an earlier demo left in it.

    Args:
        out: the folder.
        keep: demonstrations and encoder of an earlier demo stay.

    Raises:
        ConfigError: it holds something that no demo made, or cannot be written.
    """
    if out.is_dir() and any(out.iterdir()) and not (out / MARKER).is_file():
        raise ConfigError(f"--out {out}: holds something that no demo made; choose another folder")
    try:
        out.mkdir(parents=True, exist_ok=True)
        for entry in out.iterdir():
            if keep and entry.name in ("demos", "encoder"):
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        (out / MARKER).touch()
    except OSError as error:
        raise ConfigError(f"--out {out}: cannot be written: {error.strerror}") from error


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything the demo makes.")] = Path(
        "runs/demo"
    ),
    demos_per_cabinet: Annotated[
        int, typer.Option(min=2, max=1000, help="Expert demonstrations per cabinet.")
    ] = 25,
    trials: Annotated[int, typer.Option(min=1, help="Rollouts per cabinet.")] = 10,
    control_trials: Annotated[
        int, typer.Option(min=0, help="Rollouts of the open-loop control, over all cabinets.")
    ] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Of demonstrations and rollouts.")] = 0,
    difficulty: Annotated[str, typer.Option(help="easy or hard.")] = "easy",
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep demonstrations and encoder of an earlier demo.")
    ] = False,
    results: Annotated[
        Path | None, typer.Option(help="Folder for the results file foundation.json.")
    ] = None,
) -> None:
    """Record demonstrations, build a policy, open doors in simulation, write a report.

    Exit codes: 0 ran through, 1 a phase failed, 2 bad input, 130 interrupted.
    """
    settings = Settings(
        out, demos_per_cabinet, trials, control_trials, seed, difficulty, keep, results
    )
    try:
        difficulty_named(difficulty)
        prepare_folder(out, keep)
        with DemoDisplay(PHASES) as display:
            summary = Demo(settings, display).run()
    except DemoFailed as error:
        print(f"vinn-demo: {error}", file=sys.stderr)
        raise typer.Exit(error.exit_code) from error
    except VinnError as error:
        print(f"vinn-demo: {error}", file=sys.stderr)
        raise typer.Exit(EXIT_REFUSED) from error
    except KeyboardInterrupt as error:
        print("vinn-demo: interrupted", file=sys.stderr)
        raise typer.Exit(EXIT_INTERRUPTED) from error
    print(f"opened {summary['successes']} of {summary['trials']} doors")
    print(f"report: {out / 'report.html'}")
    bring_up = f"{command_line('vinn-bringup')} --policy {out / 'policy'} --console"
    print(f"drive it from a web page: {bring_up}   then http://127.0.0.1:8765/")


def main() -> None:
    """Entry point."""
    # Whoever ends the demo politely gets the same clean end as from Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    app()
