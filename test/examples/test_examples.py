"""Every example runs as its first line says, and docs/extend.md shows those that extend."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from installed_package import install
from PIL import Image
from tiny_encoder import square_image, write_square_demos, write_tiny_encoder
from vinn.demos.store import Dataset
from vinn.encoders.artefact import read_manifest
from vinn.errors import ArtefactError
from vinn.policies.artefact import load_policy, open_artefact
from vinn.policies.build import build_policy
from vinn.robot.config import RobotConfig
from vinn.robot.executor import StepExecutor
from vinn.robot.motion_filter import MotionFilter
from vinn.robot.types import ReasonCode, StepRequest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
EXTENSIONS = sorted(EXAMPLES.glob("*_own_*.py"))
MOST_LINES = 40


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("parts")
    write_square_demos(root / "demos", 4, seed=3)
    write_tiny_encoder(root / "encoder")
    build_policy(Dataset.open(root / "demos"), root / "encoder", root / "policy", 5)
    Image.fromarray(square_image(0.3, 0.6)).save(root / "image.png")
    return root


def run(name: str, *arguments: object) -> str:
    result = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_predict(parts: Path) -> None:
    said = run("01_predict.py", parts / "policy", parts / "image.png")
    delta = load_policy(parts / "policy").predict(square_image(0.3, 0.6)).camera_delta
    right, down, forward = delta
    assert f"right {right:+.4f}, down {down:+.4f}, forward {forward:+.4f}" in said


def test_neighbours(parts: Path, tmp_path: Path) -> None:
    said = run("02_neighbours.py", parts / "policy", parts / "image.png", tmp_path / "out.png")
    assert len(said.splitlines()) == 5
    weights = [float(line.rsplit(" ", 1)[1]) for line in said.splitlines()]
    assert sum(weights) == pytest.approx(1, abs=0.03)
    assert np.asarray(Image.open(tmp_path / "out.png")).std() > 0


@pytest.mark.physics
def test_closed_loop(parts: Path) -> None:
    said = run("03_closed_loop.py", parts / "policy")
    assert re.fullmatch(r"trial 0: (opened|not opened \(\w+\)) after \d+ steps, [A-Z_]+\n", said)


def test_own_policy(parts: Path, tmp_path: Path) -> None:
    said = run("04_own_policy.py", parts / "demos", parts / "encoder", tmp_path / "policy")
    assert len(re.findall(r"-?\d", said)) >= 3
    with pytest.raises(ArtefactError, match="'ridge' is unknown"):
        open_artefact(tmp_path / "policy")


def test_own_encoder(tmp_path: Path) -> None:
    assert run("05_own_encoder.py", tmp_path / "encoder") == "(1, 144)\n"
    assert read_manifest(tmp_path / "encoder").network == "colour-grid"


def test_own_task(tmp_path: Path) -> None:
    assert "recorded=6" in run("06_own_task.py", tmp_path / "tasks")
    train = Dataset.open(tmp_path / "tasks/centring/train")
    assert len(train) == 4 and len(Dataset.open(tmp_path / "tasks/centring/test")) == 2
    for demonstration in train.demonstrations:
        assert demonstration.camera_delta[:-1, 2].min() > 0 and demonstration.gripper[-1] == 3


def test_own_driver_takes_the_executors_steps(capsys: pytest.CaptureFixture[str]) -> None:
    space: dict[str, object] = {"__name__": "own_driver"}
    exec(compile((EXAMPLES / "07_own_driver.py").read_text(), "07_own_driver.py", "exec"), space)
    from vinn_ros.drivers.driver import Driver, DriverSettings

    kind = space["DRIVER"]
    assert isinstance(kind, Driver)
    driver = kind.build(None, DriverSettings())  # type: ignore[arg-type]
    config = RobotConfig()
    driver.start(config)
    before = driver.state()
    executor = StepExecutor(driver, MotionFilter(config, driver.limits()), config.executor)
    executor.begin_session("s")
    wanted = StepRequest(
        session="s",
        sequence=1,
        camera_delta=np.array([0.0, 0.0, 0.02]),
        gripper_value=0.0,
        gripper_probabilities=np.array([1.0, 0, 0, 0]),
    )
    result = executor.execute(wanted)
    assert result.reason is ReasonCode.NONE, result.message
    assert driver.state().arm_m > before.arm_m
    assert "JointCommand(" in capsys.readouterr().out


def test_the_executor_takes_an_installed_driver_by_its_name(tmp_path: Path) -> None:
    code = (EXAMPLES / "07_own_driver.py").read_text()
    points = {"vinn_ros.drivers": {"printing": "printing_package:DRIVER"}}
    install(tmp_path, "printing_package", code, points)
    asked = (
        "from vinn_ros.executor.parameters import PARAMETERS\n"
        "driver = next(p for p in PARAMETERS if p.name == 'driver')\n"
        "print(driver.problem('printing'), '|', driver.problem('printer'))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", asked],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(tmp_path)},
    )
    accepted, refused = result.stdout.strip().split(" | ")
    assert accepted == "None"
    assert "'printer'; allowed: streaming, trajectory, stretch_body, printing" in refused


def test_the_manual_shows_the_examples_as_they_are() -> None:
    blocks = re.findall(
        r"`examples/(\S+)`:\n\n```python\n(.*?)```\n",
        (ROOT / "docs/extend.md").read_text(),
        re.DOTALL,
    )
    assert [name for name, _ in blocks] == [path.name for path in EXTENSIONS]
    for name, shown in blocks:
        assert shown == (EXAMPLES / name).read_text(), f"docs/extend.md differs from {name}"


@pytest.mark.parametrize("path", EXTENSIONS, ids=lambda path: path.stem)
def test_an_extension_is_less_than_forty_lines(path: Path) -> None:
    """Imports, blank lines, the module's docstring and what runs it are not counted."""
    text = path.read_text()
    lines: set[int] = set()
    for node in ast.parse(text).body[1:]:
        if not isinstance(node, ast.Import | ast.ImportFrom | ast.If):
            lines |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    code = text.splitlines()
    assert sum(bool(code[line - 1].strip()) for line in lines) < MOST_LINES


def test_every_example_is_tested() -> None:
    names = {path.name for path in EXAMPLES.glob("*.py")}
    tested = set(re.findall(r"\"(0\d_\w+\.py)\"", Path(__file__).read_text()))
    assert names == tested
