"""stretch_body where it is not set up: the driver says what to set, and takes nothing."""

from __future__ import annotations

import importlib.util
import signal
import sys
import threading
from pathlib import Path

import pytest
from fake_stretch_body import FakeStretchBody
from vinn.errors import RobotError
from vinn.robot.config import RobotConfig
from vinn.robot.stretch_body.driver import StretchBodyDriver


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package `stretch_body` that does what `robot.py` is told to; removed afterwards."""
    folder = tmp_path / "site/stretch_body"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(folder.parent)
    for name in [name for name in sys.modules if name.partition(".")[0] == "stretch_body"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setenv("HELLO_FLEET_PATH", str(tmp_path / "fleet"))
    monkeypatch.setenv("HELLO_FLEET_ID", "stretch-se3-0000")
    yield folder / "robot.py"
    for name in [name for name in sys.modules if name.partition(".")[0] == "stretch_body"]:
        del sys.modules[name]


def start() -> None:
    StretchBodyDriver().start(RobotConfig())


def test_without_stretch_body_the_error_names_it() -> None:
    if importlib.util.find_spec("stretch_body") is not None:
        pytest.skip("stretch_body is installed here")
    with pytest.raises(RobotError, match="stretch_body: not installed"):
        start()


@pytest.mark.parametrize("name", ["HELLO_FLEET_PATH", "HELLO_FLEET_ID"])
@pytest.mark.parametrize("empty", [False, True])
def test_a_service_without_the_robots_variables_is_told_which(
    package: Path, monkeypatch: pytest.MonkeyPatch, name: str, empty: bool
) -> None:
    package.write_text(f"import os\nos.environ[{name!r}]\nRobot = None\n")
    if empty:
        monkeypatch.setenv(name, "")
    else:
        monkeypatch.delenv(name)
    with pytest.raises(RobotError, match=f"{name} is not set") as refused:
        start()
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "what",
    [
        "import sys; print('Calibration directory missing.'); sys.exit(1)",
        "raise KeyError('model_name')",
        "raise FileNotFoundError('stretch_user_params.yaml')",
        "raise ValueError('Unable to configure handler file_handler')",
        "class Robot:\n    def __init__(self): raise KeyError('eoa_wrist_of_my_own')",
    ],
    ids=["exit", "key", "file", "log folder", "constructor"],
)
def test_a_missing_description_of_the_robot_never_ends_the_process(
    package: Path, tmp_path: Path, what: str
) -> None:
    package.write_text(what + "\n")
    with pytest.raises(RobotError, match="HELLO_FLEET_PATH") as refused:
        start()
    assert str(tmp_path / "fleet/stretch-se3-0000") in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_module_that_stretch_body_lacks_is_named(package: Path) -> None:
    package.write_text("import no_such_camera_library\n")
    with pytest.raises(RobotError, match="no_such_camera_library"):
        start()


def test_it_starts_from_a_thread_of_a_node_and_leaves_the_signals_alone() -> None:
    robot = FakeStretchBody()
    driver = StretchBodyDriver(robot)
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    problems: list[BaseException] = []

    def in_a_thread() -> None:
        try:
            driver.start(RobotConfig())
        except BaseException as error:
            problems.append(error)

    thread = threading.Thread(target=in_a_thread)
    thread.start()
    thread.join(10)
    assert problems == []
    assert driver.state().homed
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == handlers
    driver.stop()
    second = StretchBodyDriver(FakeStretchBody())
    second.start(RobotConfig())
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_a_robot_that_did_not_come_up_is_given_back() -> None:
    """Else its lock stays taken, and the next try would blame another process."""
    robot = FakeStretchBody()
    robot.busy = True
    driver = StretchBodyDriver(robot)
    with pytest.raises(RobotError, match="another process"):
        driver.start(RobotConfig())
    assert robot.calls == [("stop", ())]


def test_a_tool_without_a_gripper_is_refused_by_name() -> None:
    robot = FakeStretchBody()
    robot.end_of_arm.joints = dict.fromkeys(["wrist_yaw", "wrist_pitch"]).keys()
    with pytest.raises(RobotError, match="wrist_yaw, wrist_pitch; needed: stretch_gripper"):
        StretchBodyDriver(robot).start(RobotConfig())
    assert robot.calls == [("stop", ())]
