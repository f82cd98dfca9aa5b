"""Rows 4, 5 and 24 at the policy node: bad images, numbers that are none, clocks that jump."""

from __future__ import annotations

import dataclasses
import gc
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from fault_camera import picture, write_policy
from fault_measure import LIMITS, Measure
from ros_harness import Harness, ros_context
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image
from vinn.policies.types import GraspPoint
from vinn_ros.conversions import compress, to_image, to_stamp
from vinn_ros.node import qos
from vinn_ros.policy.node import VinnPolicyNode

from vinn_msgs.msg import PolicyStatus, Prediction

pytestmark = pytest.mark.ros

FLOOD = 60
"""Bad images of each kind."""


class Bench:
    """A policy node, a publisher of frames, and what the node answers."""

    def __init__(self, ros: Harness, policy: Path, transport: str, *parameters: str) -> None:
        self.ros = ros
        arguments = [argument for parameter in parameters for argument in ("-p", parameter)]
        self.node = ros.add(
            VinnPolicyNode(
                [
                    *("--ros-args", "-p", f"policy:={policy}"),
                    *("-p", f"image_transport:={transport}", *arguments),
                ]
            )
        )
        self.predictions = ros.listen(Prediction, "policy/prediction", qos.RECORD)
        self.statuses = ros.listen(PolicyStatus, "policy/status", qos.RECORD)
        kind, suffix = (
            (CompressedImage, "/compressed") if transport == "compressed" else (Image, "")
        )
        self._images = ros.node.create_publisher(
            kind, f"wrist_camera/image_raw{suffix}", qos.RECORD
        )
        ros.wait_for(lambda: self._images.get_subscription_count() == 1)
        ros.wait_for(lambda: ros.node.count_publishers("policy/status") == 1)
        self._rng = np.random.default_rng(4)
        self._side = 1

    def good(self, stamp_ns: int | None = None) -> CompressedImage:
        self._side = -self._side
        stamp = to_stamp(time.time_ns() if stamp_ns is None else stamp_ns)
        return compress(picture(self._rng, self._side), stamp, "camera")

    def send(self, message: Any) -> None:
        self._images.publish(message)

    def answer(self, message: Any) -> Prediction | PolicyStatus:
        """What the node makes of one frame."""
        predicted, refused = len(self.predictions), len(self.statuses)
        self.send(message)
        self.ros.wait_for(
            lambda: (
                len(self.predictions) > predicted
                or (len(self.statuses) > refused and self.statuses[-1].reason != "NONE")
            )
        )
        return self.predictions[-1] if len(self.predictions) > predicted else self.statuses[-1]


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_policy(tmp_path_factory.mktemp("policy"))


@pytest.fixture
def ros() -> Iterator[Harness]:
    with ros_context() as harness:
        yield harness


def huge_jpeg(message: CompressedImage) -> CompressedImage:
    """The header promises 10 000 x 10 000: 300 MB if somebody decoded it."""
    data = bytearray(message.data)
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", 10_000, 10_000)
    message.data = bytes(data)
    return message


def test_row_04_malformed_images(ros: Harness, policy: Path) -> None:
    bench = Bench(ros, policy, "raw", "max_image_age_s:=5.0")
    rng = np.random.default_rng(4)
    whole = to_image(picture(rng, 1), to_stamp(time.time_ns()), "camera")

    def bad(**changes: Any) -> Callable[[], Image]:
        def make() -> Image:
            message = to_image(picture(rng, 1), to_stamp(time.time_ns()), "camera")
            for name, value in changes.items():
                setattr(message, name, value)
            return message

        return make

    kinds = {
        "wrong encoding": bad(encoding="bayer_rggb8"),
        "zero size": bad(width=0, height=0, step=0, data=b""),
        "step != width * channels": bad(step=whole.step + 1),
        "10k x 10k": bad(width=10_000, height=10_000, step=30_000),
        "too little data": bad(data=bytes(10)),
    }
    process = psutil.Process()
    for make in kinds.values():
        bench.answer(make())
    gc.collect()
    before = process.memory_info().rss
    for make in kinds.values():
        for _ in range(FLOOD // len(kinds)):
            answer = bench.answer(make())
            assert isinstance(answer, PolicyStatus)
            assert answer.reason == "INVALID_IMAGE"
    # Frames that nobody waits for: the node keeps the newest alone.
    for make in kinds.values():
        for _ in range(FLOOD):
            bench.send(make())
    # The last one sent is the last one judged; the answers before it may still be on their way.
    bench.send(kinds["10k x 10k"]())
    last = "INVALID_IMAGE: malformed frame: image: 10000 x 10000"
    ros.wait_for(lambda: bench.node.diagnose()[1].startswith(last))
    growth_mib = (process.memory_info().rss - before) / 2**20
    measure = Measure(4)
    measure.value("memory growth under malformed raw images", growth_mib, "MiB", "< 50")
    measure.value("predictions from malformed images", len(bench.predictions), "", "== 0")
    _, _, values = bench.node.diagnose()
    counted = sum(int(n) for name, n in values.items() if name.startswith("refused_"))
    measure.value("malformed images counted in diagnostics", counted, "", f">= {FLOOD}")


def test_row_04_a_jpeg_that_promises_ten_thousand_pixels(ros: Harness, policy: Path) -> None:
    bench = Bench(ros, policy, "compressed", "max_image_age_s:=5.0")
    process = psutil.Process()
    bench.answer(bench.good())
    before = process.memory_info().rss
    for _ in range(10):
        answer = bench.answer(huge_jpeg(bench.good()))
        assert isinstance(answer, PolicyStatus)
        assert "10000" in answer.message
    growth_mib = (process.memory_info().rss - before) / 2**20
    Measure(4).value("memory growth under 10k x 10k JPEGs", growth_mib, "MiB", "< 50")
    assert isinstance(bench.answer(bench.good()), Prediction)


def test_row_05_numbers_that_are_none(ros: Harness, policy: Path) -> None:
    bench = Bench(ros, policy, "compressed", "max_image_age_s:=5.0")
    sound = bench.node._policy.episode.policy
    reference = sound.predict(picture(np.random.default_rng(0), 1))
    bad_embeddings = [
        np.full(sound.encoder.dimension, np.nan, np.float32),
        np.full(sound.encoder.dimension, np.inf, np.float32),
        np.zeros(sound.encoder.dimension + 1, np.float32),
    ]
    bad_predictions = [
        dataclasses.replace(reference, camera_delta=np.array(delta))
        for delta in ([np.nan, 0, 0], [0, np.inf, 0], [0.0, 0.0], [0.0] * 4)
    ]
    bad_predictions.append(dataclasses.replace(reference, gripper_value=np.nan))
    bad_predictions += [
        dataclasses.replace(reference, grasp_point=GraspPoint(*map(np.array, values)))
        for values in (
            ([np.nan, 0, 0], [1.0, 1, 1], [0.5, 0.5]),
            ([0.0, 0, 0], [1, np.inf, 1], [0.5, 0.5]),
            ([0.0, 0, 0], [1.0, 1, -1], [0.5, 0.5]),
            ([0.0, 0], [1.0, 1, 1], [0.5, 0.5]),
            ([0.0, 0, 0], [1.0, 1, 1], [0.5]),
        )
    ]

    class Stub:
        """Gives one thing, whatever it sees."""

        def __init__(self, give: Callable[[], Any]) -> None:
            self.predict = lambda image_rgb: give()
            self.reset = lambda: None

    refused = 0
    try:
        for embedding in bad_embeddings:
            bench.node._policy.episode.policy = Stub(lambda e=embedding: sound.predict_embedding(e))
            refused += isinstance(bench.answer(bench.good()), PolicyStatus)
        for prediction in bad_predictions:
            bench.node._policy.episode.policy = Stub(lambda p=prediction: p)
            refused += isinstance(bench.answer(bench.good()), PolicyStatus)
    finally:
        bench.node._policy.episode.policy = sound
    tried = len(bad_embeddings) + len(bad_predictions)
    measure = Measure(5)
    measure.value("NaN, Inf or wrong-length outputs refused", refused, f"of {tried}", f"== {tried}")
    measure.value("of these published", len(bench.predictions), "", "== 0")
    assert isinstance(bench.answer(bench.good()), Prediction)


def test_row_24_clock_jumps(ros: Harness, policy: Path) -> None:
    """Simulated time stands in for the system clock; it jumps by an hour, forwards and back."""
    bench = Bench(ros, policy, "compressed", "use_sim_time:=true")
    clock = ros.node.create_publisher(Clock, "/clock", qos.STREAM)
    now_ns = 2_000_000_000 * 10**9
    ros.wait_for(lambda: clock.get_subscription_count() >= 1)

    def set_clock(ns: int) -> None:
        clock.publish(Clock(clock=to_stamp(ns)))
        ros.wait_for(lambda: bench.node.get_clock().now().nanoseconds == ns)

    period_ns = int(1e9 * LIMITS["control_period_s"])
    false_halts = stale = 0
    for jump_s in (3600, -3600, 3600, -3600):
        for _ in range(3):
            now_ns += period_ns
            set_clock(now_ns)
            assert isinstance(bench.answer(bench.good(now_ns)), Prediction)
        late = bench.good(now_ns - 10**9)  # under way for a second when the clock jumps
        now_ns += jump_s * 10**9
        set_clock(now_ns)
        stale += isinstance(bench.answer(late), Prediction)
        for _ in range(5):
            now_ns += period_ns
            set_clock(now_ns)
            false_halts += not isinstance(bench.answer(bench.good(now_ns)), Prediction)
    measure = Measure(24)
    measure.value("stale frames used across four clock jumps", stale, "", "== 0")
    measure.value("fresh frames refused after a jump", false_halts, "of 20", "<= 4")
