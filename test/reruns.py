"""Which tests may be tried again, why, and how often that happened.

A test that waits for several processes to find each other may fail on a shared machine that stalls
one of them. Such a test says so, with its reason:

    @pytest.mark.crosses_processes(reason="what the machine may delay")

Tests marked `ros` have one: their nodes hear each other over DDS. Nothing else is ever rerun, the
end of a run says which tests were, and `--no-reruns` reruns none.
"""

from __future__ import annotations

import pytest

RERUNS = 2
OVER_DDS = "nodes find each other over DDS, before watchdogs of a second or less"
_reasons = pytest.StashKey[dict[str, str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--no-reruns",
        action="store_true",
        help="a first failure counts, also of tests marked crosses_processes",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_reasons] = {}
    config.addinivalue_line(
        "markers",
        f"crosses_processes(reason): may be rerun up to {RERUNS} times, for the reason given",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    rerun = config.pluginmanager.hasplugin("rerunfailures") and not config.option.no_reruns
    for item in items:
        if item.get_closest_marker("flaky") is not None:
            raise pytest.UsageError(f"{item.nodeid}: 'flaky'; allowed: crosses_processes(reason)")
        mark = item.get_closest_marker("crosses_processes")
        if mark is not None:
            reason = str(mark.kwargs.get("reason", "")).strip()
        elif item.get_closest_marker("ros") is not None:
            reason = OVER_DDS
        else:
            continue
        if not reason:
            raise pytest.UsageError(f"{item.nodeid}: crosses_processes without a reason")
        if rerun:
            config.stash[_reasons][item.nodeid] = reason
            item.add_marker(pytest.mark.flaky(reruns=RERUNS))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reasons = terminalreporter.config.stash[_reasons]
    counts: dict[str, int] = {}
    for report in terminalreporter.stats.get("rerun", []):
        counts[report.nodeid] = counts.get(report.nodeid, 0) + 1
    if not reasons and not counts:
        return
    terminalreporter.section("reruns")
    terminalreporter.line(f"{sum(counts.values())} reruns; {len(reasons)} tests may be rerun")
    for name, count in counts.items():
        reason = reasons.get(name, "asked for on the command line")
        terminalreporter.line(f"{count} x {name}: {reason}")
