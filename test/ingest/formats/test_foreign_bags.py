"""Foreign bags: images of every kind, clocks that were set, frames that are missing, namespaces."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from bags import (
    COMPRESSED,
    IMAGE,
    POSE,
    RAW,
    SECOND,
    START,
    Said,
    encoded,
    image,
    picture,
    pose,
    walk,
    write_bag,
    write_mcap,
)
from vinn.cli.main import run
from vinn.demos.frames import read_frame
from vinn.demos.store import Dataset
from vinn.demos.types import Demonstration
from vinn.rollout.messages import header_fields

HZ = 10


def times(count: int, start_ns: int = START) -> list[int]:
    return [start_ns + i * SECOND // HZ for i in range(count)]


def imported(bag: Path, *options: str, rate: float = 5) -> tuple[Demonstration, ...]:
    out = bag.with_name("out")
    arguments = ["--out", str(out), "--rate", str(rate), "--pose-topic", POSE, *options]
    assert run(["demos", "import", "rosbag2", str(bag), *arguments]) == 0
    return Dataset.open(out).demonstrations


def refused(bag: Path, capsys, *options: str) -> str:
    out = bag.with_name("out")
    arguments = ["--out", str(out), "--rate", "5", *options]
    assert run(["demos", "import", "rosbag2", str(bag), *arguments]) == 2
    error = capsys.readouterr().err.strip()
    assert not out.exists() and "Traceback" not in error
    return " ".join(error.split())


# Clocks


BOOT = 7 * SECOND
SET = {
    "from 1970": times(20, BOOT) + times(20),
    "hours on": times(20) + times(20, START + 7200 * SECOND),
    "minutes on": times(20) + times(20, START + 180 * SECOND),
    "a second back": times(20) + times(20, START + SECOND),
    "years back": times(20) + times(20, BOOT),
    "to and fro": times(14) + times(13, BOOT) + times(13, START + 60 * SECOND),
}


@pytest.mark.parametrize("case", SET)
@pytest.mark.parametrize("write", [write_bag, lambda p, s: write_mcap(p.with_suffix(".mcap"), s)])
def test_a_set_clock_cuts_a_demonstration_and_is_never_a_step(
    case: str, write: Callable[[Path, list[Said]], Path], tmp_path: Path, capsys
) -> None:
    found = imported(write(tmp_path / "bag", walk(SET[case])))
    notes = capsys.readouterr().err
    cuts = 2 if case == "to and fro" else 1
    assert notes.count("the recorder's clock jumps by") == cuts and notes.count("cut there") == cuts
    assert [d.meta.name for d in found] == ["bag", "bag-2", "bag-3"][: cuts + 1]
    for demonstration in found:
        np.testing.assert_allclose(demonstration.camera_delta[:, 2], 0.02, atol=1e-6)
    assert 40 - 6 * (cuts + 1) < 2 * sum(len(d.camera_delta) for d in found) < 40


def test_a_senders_clock_cuts_too(tmp_path: Path, capsys) -> None:
    at = times(40)
    stamps = [t - (3600 * SECOND if i >= 20 else 0) for i, t in enumerate(at)]
    assert len(imported(write_bag(tmp_path / "bag", walk(at, stamps)))) >= 2
    assert f"the stamps on {IMAGE} jump by -3600" in capsys.readouterr().err


@pytest.mark.parametrize("missing_s", [1.2, 4.0, 29.0])
def test_missing_frames_cut_as_well(missing_s: float, tmp_path: Path, capsys) -> None:
    at = times(20) + times(20, START + 2 * SECOND + round(missing_s * SECOND))
    found = imported(write_bag(tmp_path / "bag", walk(at)))
    assert len(found) == 2 and "no image for" in capsys.readouterr().err
    assert max(d.camera_delta.max() for d in found) < 0.021


def test_few_images_a_second_need_a_rate_as_low(tmp_path: Path, capsys) -> None:
    at = [START + i * 4 * SECOND for i in range(8)]
    bag = write_bag(tmp_path / "bag", walk(at))
    assert "at most 1 s may lie between two (--rate 5)" in refused(
        bag, capsys, "--pose-topic", POSE
    )
    (found,) = imported(bag, rate=0.25)
    assert len(found.camera_delta) == 7


def test_messages_out_of_order_and_topic_after_topic_are_no_jump(tmp_path: Path, capsys) -> None:
    said = walk(times(40))
    rng = np.random.default_rng(0)
    late = sorted(said, key=lambda s: (s.topic, s.recorded_ns + int(rng.integers(150)) * 10**6))
    (found,) = imported(write_mcap(tmp_path / "bag.mcap", late))
    assert "jump" not in capsys.readouterr().err
    np.testing.assert_allclose(found.camera_delta[:, 2].sum(), 0.38, atol=0.021)


# Images


def raw(seed: int, at_ns: int, encoding: str = "rgb8", padding: int = 0) -> Said:
    pixels = picture(seed)
    if encoding == "bgr8":
        pixels = pixels[:, :, ::-1]
    elif encoding == "mono8":
        pixels = pixels[:, :, :1]
    rows = np.zeros((48, pixels[0].size + padding), np.uint8)
    rows[:, : pixels[0].size] = pixels.reshape(48, -1)
    fields = {
        "header": header_fields(at_ns, "camera"), "height": 48, "width": 64, "encoding": encoding,
        "step": rows.shape[1], "data": rows.reshape(-1),
    }  # fmt: skip
    return Said(IMAGE, RAW, fields, at_ns)


def compressed(seed: int, at_ns: int, data: bytes, said: str) -> Said:
    fields = {"header": header_fields(at_ns), "format": said, "data": np.frombuffer(data, np.uint8)}
    return Said(IMAGE, COMPRESSED, fields, at_ns)


MAKERS: dict[str, Callable[[int, int], Said]] = {
    "jpeg": image,
    "png": lambda i, t: compressed(i, t, encoded(picture(i), ".png"), "rgb8; png compressed bgr8"),
    "jpeg with padding": lambda i, t: compressed(i, t, encoded(picture(i)) + bytes(9), "jpeg"),
    "format that says nothing": lambda i, t: compressed(i, t, encoded(picture(i)), ""),
    "rgb8": raw,
    "bgr8, padded": lambda i, t: raw(i, t, "bgr8", 12),
    "mono8, padded": lambda i, t: raw(i, t, "mono8", 4),
}


@pytest.mark.parametrize("maker", MAKERS)
def test_images_of_every_kind_are_imported(maker: str, tmp_path: Path) -> None:
    at = times(12)
    said = [MAKERS[maker](i, t) for i, t in enumerate(at)]
    said += [pose((0.0, 0.0, 0.01 * i), t) for i, t in enumerate(at)]
    bag = write_bag(tmp_path / "bag", sorted(said, key=lambda s: s.recorded_ns))
    (found,) = imported(bag)
    for number, path in enumerate(found.frame_paths):
        expected = picture(2 * number).astype(float)
        if maker.startswith("mono8"):
            expected = np.repeat(expected[:, :, :1], 3, axis=2)
        assert np.abs(read_frame(path) - expected).mean() < 3.0
    if maker.startswith("jpeg"):
        # The recording's own bytes.
        first = bytes(said[0].fields["data"])  # type: ignore[index]
        assert found.frame_paths[0].read_bytes() == first


@pytest.mark.parametrize(
    ("said", "options", "named"),
    [
        (raw(0, START, "bayer_rggb8"), (), "encoding 'bayer_rggb8'; allowed: rgb8, bgr8"),
        (compressed(0, START, b"GIF89a" * 9, "gif"), (), "begins with 47 49 46 38; allowed: JPEG"),
        (
            Said(IMAGE, "std_msgs/msg/String", {"data": "x"}, START),
            (),
            f"{IMAGE} is of type std_msgs/msg/String; allowed: {COMPRESSED} or {RAW}",
        ),
        (image(0, START), ("--pose-topic", IMAGE), f"{IMAGE} is of type {COMPRESSED}; allowed: g"),
        (image(0, START), ("--pose-topic", "/no"), "no messages on /no (--pose-topic); recorded:"),
    ],
)
def test_what_cannot_be_imported_is_named(
    said, options, named: str, tmp_path: Path, capsys
) -> None:
    at = times(12)
    messages = [Said(said.topic, said.type_name, said.fields, t) for t in at]
    messages += [pose((0.0, 0.0, 0.01 * i), t) for i, t in enumerate(at)]
    bag = write_bag(tmp_path / "bag", messages)
    error = refused(bag, capsys, *(options or ("--pose-topic", POSE)))
    assert named in error and "bag" in error


# Names


def test_topics_are_found_in_a_namespace_unless_there_are_two(tmp_path: Path, capsys) -> None:
    said = [Said(f"/left{s.topic}", s.type_name, s.fields, s.recorded_ns) for s in walk(times(20))]
    (found,) = imported(write_bag(tmp_path / "bag", said))
    assert len(found.camera_delta) == 9
    both = [*said, *(image(0, t, topic=f"/right{IMAGE}") for t in times(20))]
    error = refused(write_bag(tmp_path / "two" / "bag", both), capsys, "--pose-topic", POSE)
    assert f"/left{IMAGE}, /right{IMAGE}" in error
    bag = write_bag(tmp_path / "three" / "bag", both)
    (found,) = imported(bag, "--image-topic", f"/left{IMAGE}")
    assert len(found.camera_delta) == 9
