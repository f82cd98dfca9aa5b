"""A changed table is found out, and what no demonstration can mean is refused."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from tiny_encoder import square_image, write_square_demos
from vinn.cli.main import run
from vinn.demos.actions import LONGEST_STEP_M
from vinn.demos.checksums import CHECKSUMS, write_checksums
from vinn.demos.layout import FRAME_COLUMNS
from vinn.demos.store import Dataset, validate_dataset, write_demonstration
from vinn.demos.types import ActionScale, CameraInfo, DemonstrationMeta
from vinn.errors import DatasetError

CAMERA = CameraInfo(name="wrist", width_px=64, height_px=48)


@pytest.fixture(scope="module")
def demos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("checksums") / "demos"
    write_square_demos(root, 2)
    return root


def test_every_changed_byte_is_found(demos: Path, tmp_path: Path) -> None:
    root = tmp_path / "demos"
    shutil.copytree(demos, root)
    assert validate_dataset(root).ok and validate_dataset(root).unlisted == 0
    rng = np.random.default_rng(1)
    for path in sorted((root / "square_1").rglob("*")):
        if path.is_dir():
            continue
        sound = path.read_bytes()
        for place in rng.integers(0, len(sound), 25):
            changed = bytearray(sound)
            changed[place] ^= int(rng.integers(1, 256))
            path.write_bytes(changed)
            report = validate_dataset(root)
            assert not report.ok, f"{path.name}, byte {place}"
            assert "square_1" in report.bad[0]
        path.write_bytes(sound)
    assert validate_dataset(root).ok


def test_the_list_is_what_sha256sum_reads(demos: Path) -> None:
    checker = shutil.which("sha256sum")
    if checker is None:
        pytest.skip("no sha256sum")
    for folder in sorted(demos.iterdir()):
        done = subprocess.run([checker, "-c", CHECKSUMS], cwd=folder, capture_output=True)
        assert done.returncode == 0 and done.stdout.count(b"OK") == 2


def test_a_dataset_of_before_opens_and_validate_says_so(
    demos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "demos"
    shutil.copytree(demos, root)
    before = Dataset.open(root).hash
    (root / "square_0" / CHECKSUMS).unlink()
    assert Dataset.open(root).hash == before
    assert run(["demos", "validate", str(root)]) == 0
    shown = capsys.readouterr().out
    assert "0 problems" in shown and f"1 demonstrations without {CHECKSUMS}" in shown


@pytest.mark.parametrize(
    "text",
    ["", "nonsense\n", "\xff", f"{'0' * 64}  meta.json\n", f"{'0' * 64}  a\n{'0' * 64}  a\n", "\n"],
)
def test_a_broken_list_is_named(demos: Path, tmp_path: Path, text: str) -> None:
    root = tmp_path / "demos"
    shutil.copytree(demos, root)
    (root / "square_0" / CHECKSUMS).write_bytes(text.encode("latin-1"))
    with pytest.raises(DatasetError, match=r"square_0/(SHA256SUMS|meta\.json)"):
        Dataset.open(root)


def rewritten(folder: Path, **columns: np.ndarray) -> None:
    """The demonstration with other actions, as a tool that knows the format would write it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(folder / "frames.parquet")
    for name, values in columns.items():
        place = FRAME_COLUMNS.get_field_index(name)
        field = FRAME_COLUMNS.field(name)
        table = table.set_column(place, field, pa.array(values, field.type))
    pq.write_table(table, folder / "frames.parquet")
    write_checksums(folder, ("meta.json", "frames.parquet"))


@pytest.mark.parametrize("value", [1e30, -3e38, 5.0, -1.2, np.nan, np.inf])
@pytest.mark.parametrize("axis", ["dx", "dy", "dz"])
def test_no_step_is_that_long(demos: Path, tmp_path: Path, axis: str, value: float) -> None:
    root = tmp_path / "demos"
    shutil.copytree(demos, root)
    dataset = Dataset.open(root)
    row = int(np.random.default_rng(int(abs(value) < 9)).integers(8))
    values = dataset.demonstrations[0].camera_delta[:, "xyz".index(axis[1])].copy()
    values[row] = value
    rewritten(root / "square_0", **{axis: values})
    report = validate_dataset(root)
    assert len(report.bad) == 1 and f"action {row}" in report.bad[0]
    with pytest.raises(DatasetError, match=f"action {row}"):
        Dataset.open(root)


def test_steps_up_to_the_bound_are_kept_and_longer_ones_never_written(tmp_path: Path) -> None:
    meta = DemonstrationMeta(name="far", task="t", camera=CAMERA)
    direction = np.array([0.6, 0.0, 0.8])
    images = [square_image(0.2, 0.2)] * 2
    far = np.stack([direction * LONGEST_STEP_M * 0.999, np.zeros(3)])
    write_demonstration(tmp_path, meta, images, far, [0, 3])
    assert Dataset.open(tmp_path).frame_count == 2
    for factor in (1.01, 1000.0, 1e39):
        too_far = meta.model_copy(update={"name": "too-far"})
        with pytest.raises(DatasetError, match="action 0"):
            write_demonstration(tmp_path, too_far, images, far * factor, [0, 3])
    assert [path.name for path in tmp_path.iterdir()] == ["far"]
    # Directions have a length of their own.
    unit = meta.model_copy(update={"name": "unit", "action_scale": ActionScale.UNIT})
    write_demonstration(
        tmp_path / "unit", unit, images, np.stack([direction, 0 * direction]), [0, 0]
    )


NAMES = ["kitchen door", "", "a/b", "../up", ".hidden", "-dash", "Küche", "x" * 101, "a\nb", "a\0b"]


@pytest.mark.parametrize("name", NAMES)
def test_names_that_no_folder_has(name: str, tmp_path: Path) -> None:
    from vinn.demos.types import new_meta

    with pytest.raises(DatasetError, match="demonstration's name") as caught:
        new_meta(name=name, task="t", camera=CAMERA)
    assert "\n" not in str(caught.value)
