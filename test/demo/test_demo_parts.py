"""The demo's parts: work in processes, folders, figures, what the terminal shows."""

import io
import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from vinn.errors import ConfigError, DatasetError
from vinn.evaluation.results import Results, Row
from vinn.evaluation.statistics import wilson_interval
from vinn.recordings.rollout_summary import RolloutDigest

pytest.importorskip("rclpy")

from vinn_ros.demo.app import MARKER, app, command_line, prepare_folder, said
from vinn_ros.demo.display import DemoDisplay
from vinn_ros.demo.figures import frames_lost, write_results
from vinn_ros.demo.phases import control_scenes, spread
from vinn_ros.demo.preparation import merge
from vinn_ros.demo.work import Work, WorkFailed, run_all


def test_the_console_is_offered_as_the_user_can_call_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After `make demo` the environment is not active: its commands have a path."""
    folder = tmp_path / ".venv" / "bin"
    folder.mkdir(parents=True)
    for name in ("python", "vinn-bringup"):
        (folder / name).touch(mode=0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    monkeypatch.setenv("PATH", "")
    assert command_line("vinn-bringup") == ".venv/bin/vinn-bringup"
    monkeypatch.setenv("PATH", str(folder))
    assert command_line("vinn-bringup") == "vinn-bringup"


def count_to(number, on_progress):
    for done in range(number):
        on_progress(done + 1, number)
    print("counted")
    return number, os.getpid()


def refuse(on_progress):
    raise DatasetError("demos: nothing there")


def break_down(on_progress):
    raise RuntimeError("a bug")


def die(on_progress):
    os._exit(3)


def test_work_runs_elsewhere_and_reports(tmp_path):
    seen = []
    work = Work(count_to, (3,), tmp_path / "logs" / "w.log")
    number, pid = work.start().result(lambda done, total: seen.append((done, total)))
    assert number == 3
    assert pid != os.getpid()
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert "counted" in work.log.read_text()


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (refuse, DatasetError, "demos: nothing there"),
        (break_down, WorkFailed, "RuntimeError: a bug"),
        (die, WorkFailed, "exit code 3"),
    ],
)
def test_failed_work_says_why(tmp_path, function, error, message):
    with pytest.raises(error, match=message):
        Work(function, (), tmp_path / "w.log").start().result()


def test_the_log_keeps_the_traceback(tmp_path):
    with pytest.raises(WorkFailed):
        Work(break_down, (), tmp_path / "w.log").start().result()
    assert "Traceback" in (tmp_path / "w.log").read_text()


def test_works_run_together_and_keep_their_order(tmp_path):
    sums = []
    works = [Work(count_to, (number,), tmp_path / "w.log") for number in (4, 2, 3)]
    assert [result[0] for result in run_all(works, 2, sums.append)] == [4, 2, 3]
    assert sums[-1] == max(sums) == 9


def test_one_failure_ends_all(tmp_path):
    works = [Work(refuse, (), tmp_path / "w.log"), Work(count_to, (2,), tmp_path / "w.log")]
    with pytest.raises(DatasetError):
        run_all(works, 1)


def test_trials_are_dealt_evenly():
    assert spread(10, ("a", "b", "c")) == {"a": 4, "b": 3, "c": 3}
    assert sum(spread(2, ("a", "b", "c")).values()) == 2


@pytest.mark.parametrize("count", [0, 1, 5, 10, 13])
def test_controls_are_dealt_to_difficulties_and_cabinets(count):
    dealt = control_scenes(count, ("easy", "hard"))
    assert sum(dealt.values()) == count
    assert len(dealt) == 6
    assert max(dealt.values()) - min(dealt.values()) <= 2
    easy, hard = (sum(n for (d, _), n in dealt.items() if d == name) for name in ("easy", "hard"))
    assert 0 <= easy - hard <= 1


def test_foreign_folders_are_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigError, match="no demo made"):
        prepare_folder(tmp_path, keep=False)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize("keep", [False, True])
def test_an_earlier_demo_is_replaced(tmp_path, keep):
    out = tmp_path / "demo"
    prepare_folder(out, keep)
    for name in ("demos", "encoder", "policy"):
        (out / name).mkdir()
    (out / "summary.json").touch()
    prepare_folder(out, keep)
    left = {entry.name for entry in out.iterdir()}
    assert left == ({MARKER, "demos", "encoder"} if keep else {MARKER})


def test_datasets_are_merged_whole(tmp_path):
    for part, name in (("p1", "oak-0"), ("p2", "white-0")):
        (tmp_path / part / name).mkdir(parents=True)
    merge([tmp_path / "p1", tmp_path / "p2"], tmp_path / "demos")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["demos"]
    assert sorted(entry.name for entry in (tmp_path / "demos").iterdir()) == ["oak-0", "white-0"]


def digest(stamps):
    empty = np.zeros(0)
    return RolloutDigest(
        recording=None, policy="vinn", cabinet="oak", opened=True, grasped=True,
        fully_opened=False, reason="SUCCESS", steps=1, duration_s=1.0,
        angle_deg=np.zeros((0, 2)), stages_s={}, stamp_to_command_s=empty,
        frame_stamps_ns=np.array(stamps, dtype=np.int64),
    )  # fmt: skip


def test_lost_frames_are_those_announced_but_not_recorded():
    announced = set(range(0, 100, 10))
    assert frames_lost([digest([10, 20, 30])], announced) == 0
    assert frames_lost([digest([10, 30]), digest([60, 90])], announced) == 3
    assert frames_lost([digest([])], announced) == 0


def rate(successes, trials):
    low, high = wilson_interval(successes, trials)
    return {"trials": trials, "successes": successes, "wilson_low": low, "wilson_high": high}


def summary_of(easy, hard, control, first=None):
    """A demo's summary: doors opened at each difficulty, and by the control, of 15, 15 and 5."""

    def group(policy, difficulty, opened, at_first):
        return {
            "policy": policy, "condition": difficulty, "opened": opened, "first_attempt": at_first,
        }  # fmt: skip

    return {
        "policy": "grasp point", "duration_s": 400.0, "camera_frames_lost": 0,
        "demonstrations": 45, "detector_s": 50.0, "shown_difficulty": "hard",
        "latency_ms": {
            stage: {"median": 31.0, "p95": 40.0}
            for stage in ("stamp_to_command", "preprocess", "encode", "retrieve")
        },
        "groups": [
            group("grasp point", "easy", rate(easy, 15), rate(easy - 1, 15)),
            group("grasp point", "hard", rate(hard, 15), first),
            group("open loop", "easy", rate(control, 5), None),
        ],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("easy", "hard", "control", "missed"),
    [(14, 12, 2, set()), (13, 12, 2, {"easy"}), (15, 11, 2, {"hard"}), (15, 15, 3, {"control"})],
)
def test_figures_keep_missed_goals_and_those_of_others(tmp_path, easy, hard, control, missed):
    others = Results("foundation", "make demo", "m", "2024-01-01")
    others.add("make test, wall time", 900, "s", "<= 1500")
    others.add("doors opened by the policy", 28, "of 30", ">= 27")  # of a demo of one difficulty
    others.keep(Row("camera, rate", 15, "Hz", None, True, "another command", "0123abc"))
    others.write(tmp_path)
    summary = summary_of(easy, hard, control)
    rows = {row.name: row for row in Results.read(write_results(tmp_path, summary)).rows}
    assert rows["make test, wall time"].met
    kept = rows["camera, rate"]
    assert (kept.command, kept.commit) == ("another command", "0123abc")
    assert "doors opened by the policy" not in rows
    names = {
        "easy": "easy, doors opened by grasp point",
        "hard": "hard, doors opened by grasp point",
        "control": "easy, doors opened by open loop",
    }
    assert {name for name, row in names.items() if not rows[row].met} == missed
    assert rows[names["easy"]].value == easy
    assert rows["easy, doors opened by grasp point at the first attempt"].value == easy - 1
    assert "hard, doors opened by grasp point at the first attempt" not in rows
    assert not rows["demo, wall time after installation"].met
    assert rows["camera stamp to command, median"].met


def test_the_last_lines_say_both_difficulties():
    lines = said(summary_of(14, 11, 0))
    assert lines == [
        "grasp point, easy: opened 14 of 15 doors, 13 at the first attempt",
        "grasp point, hard: opened 11 of 15 doors",
        "open loop, easy: opened 0 of 5 doors",
    ]


def test_display_without_a_terminal_writes_lines():
    console = Console(file=io.StringIO(), force_terminal=False, width=100)
    display = DemoDisplay(["first", "second"], console)
    with display, display.phase("first") as phase:
        phase.update(1, 2)
        phase.note("1 of 2 opened")
    text = console.file.getvalue()
    assert "first ..." in text
    assert "first done in" in text
    assert "1 of 2 opened" in text
    assert list(display.durations_s) == ["first"]


def test_display_keeps_the_time_of_a_failed_phase():
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    display = DemoDisplay(["only"], console)
    began_s = time.monotonic()
    with pytest.raises(ValueError, match="no"), display, display.phase("only"):
        while time.monotonic() == began_s:
            pass
        raise ValueError("no")
    assert 0 < display.durations_s["only"] <= time.monotonic() - began_s


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--difficulty", "impossible"], "impossible"),
        (["--difficulty", "easy,hrad"], "hrad"),
        (["--difficulty", "hard,hard"], "each name once"),
        (["--demos-per-cabinet", "0"], "--demos-per-cabinet"),
        (["--unknown"], "unknown"),
    ],
)
def test_bad_input_ends_with_code_2(tmp_path, capsys, arguments, message):
    with pytest.raises(SystemExit) as ended:
        app(["--out", str(tmp_path / "demo"), *arguments])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "demo").exists()
