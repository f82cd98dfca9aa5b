"""What is written of closed-loop trials: rates, differences, goals, and the paper's figures."""

from __future__ import annotations

from dataclasses import replace

from vinn.evaluation.statistics import UNKNOWN
from vinn.evaluation.trials import Failure
from vinn.paper.closed_loop.config import ClosedLoopConfig
from vinn.paper.closed_loop.output import closed_loop_results, tables_markdown
from vinn.paper.closed_loop.run import SAMPLED, SEEN, Outcome
from vinn.sim.cabinets import CABINETS
from vinn.sim.scene import Occlusion

COVERED = Occlusion.SIGNS_HANDLE


def _outcomes(opened: int, of: int = 30, failure: Failure = Failure.SLIPPED):
    names = sorted(CABINETS)
    return tuple(
        Outcome(
            cabinet=names[i * 3 // of],
            trial=i,
            seed=i,
            grasped=i < opened + 2,
            opened=i < opened,
            fully_opened=i < opened - 1,
            failure=Failure.NONE if i < opened else failure,
        )
        for i in range(of)
    )


FOUND = {
    (SEEN, "open-loop"): _outcomes(0, failure=Failure.MISSED_HANDLE),
    (SEEN, "raw-pixels"): _outcomes(6),
    (SEEN, "bc"): _outcomes(9),
    (SEEN, "vinn"): _outcomes(24),
    (COVERED.value, "vinn"): _outcomes(12),
    (SAMPLED, "vinn"): _outcomes(3, 6),
}
SETTINGS = ClosedLoopConfig(methods=("vinn",), compare=(("vinn", "bc"), ("vinn", "raw-pixels")))


def test_results_hold_rates_differences_and_goals():
    offline = {"open-loop": 3.0, "raw-pixels": 2.0, "bc": 1.5, "vinn": 1.0}
    rows = {row.name: row for row in closed_loop_results(SETTINGS, FOUND, offline, "cmd").rows}
    vinn = rows["seen: VINN (BYOL + NN)"]
    assert vinn.value == 80.0
    assert "95 % 63 to 90, n 30; grasped 26, fully opened 23" in vinn.unit
    difference = rows["seen: VINN (BYOL + NN) minus BC (end to end)"]
    assert difference.value == 50.0
    assert "McNemar p 6.1e-05, n 30" in difference.unit
    assert f"{COVERED.value}: VINN (BYOL + NN) minus BC (end to end)" not in rows
    assert rows["rank correlation of offline error and opened doors"].value == -1.0
    goals = {name: row.met for name, row in rows.items() if name.startswith("goal")}
    assert len(goals) == 6
    assert all(goals.values())


def test_success_at_the_first_attempt_stands_beside_success_with_retries():
    tried = tuple(replace(o, attempts=1 + o.trial % 3) for o in FOUND[SEEN, "vinn"])
    first = sum(o.opened and o.attempts == 1 for o in tried)
    assert 0 < first < 24
    found = {**FOUND, (SEEN, "vinn"): tried, (COVERED.value, "vinn"): tried}
    rows = {row.name: row for row in closed_loop_results(SETTINGS, found, {}, "cmd").rows}
    assert f"at the first attempt {first} / 30, grasped" in rows["seen: VINN (BYOL + NN)"].unit
    assert "first attempt" not in rows["seen: BC (end to end)"].unit
    lines = tables_markdown(SETTINGS, found, "", "cmd").splitlines()
    head = next(line for line in lines if line.startswith("| Method |")).split(" | ")
    column = head.index("at the first attempt")
    by_name = {line.split(" | ")[0]: line.split(" | ") for line in lines if line.startswith("| ")}
    assert by_name["| VINN (BYOL + NN)"][column] == f"{first} / 30"
    assert by_name["| BC (end to end)"][column] == UNKNOWN
    assert any(f", first {first} / 30" in line for line in lines)


def test_what_is_not_measured_yet_is_said():
    config = SETTINGS.model_copy(
        update={
            "methods": ("vinn", "imagenet"),
            "general_methods": ("vinn",),
            "left_out": True,
            "occlusions": (COVERED,),
        }
    )
    said = "seen: ImageNet + NN; left_out: VINN (BYOL + NN)"
    rows = {row.name: row for row in closed_loop_results(config, FOUND, {}, "cmd").rows}
    assert rows["not measured yet"].value == said
    assert f"Not measured yet: {said}." in tables_markdown(config, FOUND, "", "cmd")
    assert "ot measured yet" not in tables_markdown(SETTINGS, FOUND, "", "cmd")


def test_missed_goals_are_said():
    bad = {
        (SEEN, "open-loop"): _outcomes(9),
        (SEEN, "raw-pixels"): _outcomes(12),
        (SEEN, "vinn"): _outcomes(13),
        (SEEN, "bc-rep"): _outcomes(17),
    }
    missed = {row.name for row in closed_loop_results(SETTINGS, bad, {}, "cmd").missed}
    assert missed == {
        "goal: open loop fails",
        "goal: best method (BC-Rep) can",
        "goal: VINN on seen cabinets",
        "goal: VINN ahead of BC-Rep",
    }


def test_close_starts_have_their_own_files_and_goal():
    config = SETTINGS.model_copy(update={"difficulty": "paper"})
    found = {(SEEN, "open-loop"): _outcomes(9)}
    results = closed_loop_results(config, found, {}, "cmd")
    assert results.name == "closed_loop_paper"
    assert "goal: open loop fails" not in {row.name for row in results.missed}  # 30 of 50 %
    assert "`paper`" in tables_markdown(config, found, "", "cmd")


def test_tables_stand_beside_the_papers_figures():
    text = tables_markdown(SETTINGS, FOUND, "Little training.", "vinn eval closed-loop-tables")
    rows = {
        tuple(cell.strip() for cell in line.strip("|").split("|"))
        for line in text.splitlines()
        if line.startswith("|")
    }
    assert ("BC (end to end)", "11/30", "9/30 [17%, 48%]", UNKNOWN, "8/30", "9/10", "0/10", "0/10", "0 %", "0 %") in rows  # fmt: skip # noqa: E501
    assert ("covered sign and handle", "12/30 [25%, 58%] (10/10, 2/10, 0/10) [70 %]") in rows
    assert ("freshly sampled cabinets", "3/6 [19%, 81%]") in rows
    assert any(row[:2] == (TITLE_SEEN, "Open loop") and row[2] == "30" for row in rows)


TITLE_SEEN = "cabinets of the demonstrations, unmodified"
