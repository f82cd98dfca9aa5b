"""Results: goals, round trip, the Markdown twin, and what must not be in them."""

import json
import math
import socket

import pytest
from vinn.errors import ConfigError
from vinn.evaluation.provenance import running_command, running_commit
from vinn.evaluation.results import Results, describe_machine, meets


@pytest.mark.parametrize(
    ("value", "goal", "met"),
    [
        (27, ">= 27", True),
        (26, ">=27", False),
        (60.0, "<= 60", True),
        (60.1, "<= 60", False),
        (0, "== 0", True),
        (True, "== true", True),
        (False, "== true", False),
        (3, "> 3", False),
        (2.9, "< 3", True),
        (math.nan, "<= 60", False),
        (math.nan, ">= 60", False),
    ],
)
def test_goals(value, goal, met):
    assert meets(value, goal) is met


@pytest.mark.parametrize("goal", ["27", "=> 27", ">= many", "", "at least 3", ">= 3 4"])
def test_bad_goals_are_named(goal):
    with pytest.raises(ConfigError, match="goal"):
        meets(1, goal)


def make_results():
    results = Results("demo-run", "make demo")
    results.add("opened", 29, "of 30", ">= 27")
    results.add("latency | median", 71.25, "ms", "<= 60")
    results.add("encoder", "lite0")
    results.add("unknown", math.nan, "s")
    return results


def test_round_trip(tmp_path):
    written = make_results()
    path = written.write(tmp_path / "results")
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["demo-run.json", "demo-run.md"]
    read = Results.read(path)
    assert (read.command, read.machine, read.date) == (
        written.command, written.machine, written.date,
    )  # fmt: skip
    assert read.rows[:3] == written.rows[:3]
    assert math.isnan(read.rows[3].value)
    content = json.loads(path.read_text())
    assert set(content) == {"command", "machine", "date", "rows"}
    assert content["rows"][2] == {
        "name": "encoder", "value": "lite0", "unit": "", "goal": None, "met": True,
        "command": running_command(), "commit": running_commit(),
    }  # fmt: skip


def test_missed_goals_stay(tmp_path):
    results = make_results()
    assert [row.name for row in results.missed] == ["latency | median"]
    page = results.write(tmp_path).with_suffix(".md").read_text()
    assert "| 71.25 | ms | <= 60 | **no** |" in page
    assert "| opened | 29 | of 30 | >= 27 | yes |" in page
    assert "latency \\| median" in page


def test_a_figure_can_be_replaced():
    results = make_results()
    results.add("opened", 20, "of 30", ">= 27")
    assert len(results.rows) == 4
    assert results.rows[0].value == 20
    assert not results.rows[0].met


def test_a_part_measured_anew_leaves_nothing_of_the_last_time():
    results = Results("x", "command")
    results.add("visits: ended by A", 1)
    results.add("soak: ended by A", 2)
    results.forget("visits: ")
    results.add("visits: ended by B", 3)
    assert {row.name: row.value for row in results.rows} == {
        "soak: ended by A": 2,
        "visits: ended by B": 3,
    }


def test_machine_names_no_host():
    text = describe_machine()
    assert socket.gethostname() not in text
    assert "Python 3" in text


@pytest.mark.parametrize("name", ["", "../up", "a b", "a.json"])
def test_bad_names_are_refused(name):
    with pytest.raises(ConfigError):
        Results(name, "c", "m")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"command": "c"}', '{"rows": 3}'])
def test_malformed_files_are_named(tmp_path, content):
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"x\.json"):
        Results.read(path)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"gone\.json"):
        Results.read(tmp_path / "gone.json")


def test_results_can_be_continued(tmp_path):
    first = Results.continued(tmp_path, "x", "run one")
    first.add("kept", 1)
    first.write(tmp_path)
    second = Results.continued(tmp_path, "x", "run two")
    second.add("new", 2)
    second.write(tmp_path)
    third = Results.continued(tmp_path, "x", "run two")
    assert third.command == "run one && run two"
    several = Results.continued(tmp_path, "x", "run one && run three && run two")
    assert several.command == "run one && run two && run three"
    assert [row.name for row in third.rows] == ["kept", "new"]
    assert third.date == first.date


def test_the_days_of_continued_results_are_named(tmp_path):
    Results("x", "c", day="2001-02-03").write(tmp_path)
    assert Results.continued(tmp_path, "x", "c").date.startswith("2001-02-03 to 20")


def test_what_is_added_on_another_machine_says_so(tmp_path):
    first = Results("x", "c", "1 x abacus")
    first.add("there", 1)
    first.add("anew", 2)
    first.write(tmp_path)
    second = Results.continued(tmp_path, "x", "c")
    second.add("here", 3)
    second.add("anew", 4)
    read = Results.read(second.write(tmp_path))
    assert read.machine == "1 x abacus"
    assert {row.name: row.machine for row in read.rows} == {
        "there": "",
        "here": describe_machine(),
        "anew": describe_machine(),
    }
    lines = (tmp_path / "x.md").read_text().splitlines()
    assert f"Marked [1]: measured on {describe_machine()}." in lines
    assert "| there | 1 |  |  |  |" in lines
    assert "| here [1] | 3 |  |  |  |" in lines
    # One that goes on there says nothing new of its own rows, and keeps ours.
    third = Results.read(tmp_path / "x.json")
    third.add("last", 5)
    kept = {row.name: row.machine for row in Results.read(third.write(tmp_path)).rows}
    assert (kept["last"], kept["here"]) == ("", describe_machine())


def test_figures_of_kept_trials_claim_no_commit_that_is_not_theirs(tmp_path):
    results = Results("tables", "vinn eval tables", of_kept=True)
    results.add("of trials whose commit is kept", 1, commit="0123456789ab")
    results.add("of older ones", 2)
    rows = Results.read(results.write(tmp_path)).rows
    assert [row.commit for row in rows] == ["0123456789ab", ""]
    assert {row.command for row in rows} == {"vinn eval tables"}
