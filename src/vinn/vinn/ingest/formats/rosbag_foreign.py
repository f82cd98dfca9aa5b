"""Demonstrations from recordings of others: images and camera poses, or Stretch's joint states.

A recording is read twice: for times and poses, then for the frames that are used, so that hours of
images need no memory. It is cut where a clock was set or images are missing: what happened between
two frames that are not one step apart is not known, and no step may say so.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vinn.demos.encoded_image import is_jpeg
from vinn.demos.frames import encode_jpeg
from vinn.demos.types import ActionScale
from vinn.errors import DatasetError, ImageError
from vinn.ingest.formats.common import (
    GripperOrder,
    Imported,
    frame_meta,
    pose_deltas,
    states_from_aperture,
)
from vinn.ingest.formats.rosbag_poses import camera_pose, joint_values, poses_from_messages
from vinn.robot.config import CameraMount
from vinn.rollout.reader import timed_messages
from vinn.rollout.recording_files import recording_name
from vinn.rollout.storage.clock import ClockJump
from vinn.rollout.storage.definitions import decode
from vinn.rollout.storage.images import COMPRESSED_IMAGE, RGB_OF
from vinn.rollout.storage.topics import check_type, find_topic

_NS = 1e9
_NO_MOTION = 1e-9
_LONGEST_GAP_S, _LONGEST_GAP_STEPS = 1.0, 2.5
"""Between two images of one demonstration: the longer of both."""
_POSE, _JOINTS = "geometry_msgs/msg/PoseStamped", "sensor_msgs/msg/JointState"
_ODOMETRY = "nav_msgs/msg/Odometry"


@dataclass(frozen=True)
class BagTopics:
    """Where a foreign recording has what; in a namespace, the ends of the names will do.

    Attributes:
        image: sensor_msgs/CompressedImage (JPEG or PNG) or sensor_msgs/Image.
        pose: geometry_msgs/PoseStamped of the camera's optical frame in the world; None uses joint
            states.
        joints: sensor_msgs/JointState with joint_lift, wrist_extension, joint_wrist_yaw, -pitch,
            -roll and gripper_aperture.
        odometry: nav_msgs/Odometry of the base; None where the base stands.
    """

    image: str = "/wrist_camera/image_raw/compressed"
    pose: str | None = None
    joints: str | None = "/stretch/joint_states"
    odometry: str | None = "/odom"


@dataclass
class _Part:
    """What lies between two jumps of a clock: times [ns] without them, and messages."""

    first_image: int
    """Its number in the whole recording."""
    images_ns: list[int] = field(default_factory=list)
    others: dict[str, list[tuple[int, Any]]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Track:
    """The frames used of one stretch without gaps.

    Attributes:
        frames: numbers of T + 1 images in the whole recording.
        positions_m: (T + 1, 3) of the camera.
        axes: (T + 1, 3, 3) of the camera.
        aperture: (T + 1,) of the gripper; zeros where it is not known.
    """

    frames: NDArray[np.int64]
    positions_m: NDArray[np.float64]
    axes: NDArray[np.float64]
    aperture: NDArray[np.float64]

    @property
    def motion(self) -> float:
        """The largest range of anything."""
        values = (self.positions_m, self.axes, self.aperture)
        return max(float(np.ptp(value, axis=0).max()) for value in values)


class ForeignBag:
    """A recording that this project did not export."""

    def __init__(
        self,
        path: Path,
        types: dict[str, str],
        topics: BagTopics,
        rate_hz: float,
        on_note: Callable[[str], None],
    ) -> None:
        """Args: the recording, its topics' types, those wanted, steps per second, who is told.

        Raises:
            DatasetError: a topic is not there, or of another type.
        """
        self._path = path
        self._types = types
        self._rate_hz = rate_hz
        self._note = on_note
        self._image = self._needed(topics.image, "--image-topic", *RGB_OF)
        self._pose = self._needed(topics.pose, "--pose-topic", _POSE) if topics.pose else None
        self._joints = self._odometry = None
        if self._pose is None:
            self._joints = self._needed(str(topics.joints), "--joints-topic", _JOINTS)
            self._odometry = self._known(topics.odometry, _ODOMETRY) if topics.odometry else None

    def demonstrations(
        self, task: str, order: GripperOrder, mount: CameraMount
    ) -> Iterator[Imported]:
        """One for the whole recording, or one for each part between cuts.

        Args:
            task: kept in the meta data.
            order: of gripper_aperture's range.
            mount: how the camera sits on the gripper, for joint states.

        Raises:
            DatasetError: damaged, nothing moves, or not even one step.
        """
        tracks = self._moving(list(self._tracks(mount)))
        low = min(float(track.aperture.min()) for track in tracks)
        high = max(float(track.aperture.max()) for track in tracks)
        frames = _Frames(self._path, self._image)
        name = recording_name(self._path)
        for number, track in enumerate(tracks, start=1):
            gripper = track.aperture
            states = (
                states_from_aperture(gripper, order, low, high)
                if high > low
                else np.zeros(len(gripper), np.int64)
            )
            meta = frame_meta(
                name if number == 1 else f"{name}-{number}",
                task,
                frames.rgb(int(track.frames[0])),
                self._image.strip("/"),
                ActionScale.METRIC,
                {"tool": "vinn demos import", "format": "rosbag2"},
                self._rate_hz,
            )
            used = [int(index) for index in track.frames[:-1]]
            yield Imported(
                meta,
                (frames.rgb(index) for index in used),
                pose_deltas(track.positions_m, track.axes),
                states[1:],
                (frames.jpeg(index) for index in used),
            )

    # What is in it

    def _known(self, wanted: str, *allowed: str) -> str | None:
        topic = find_topic(self._types, wanted, self._path)
        if topic is not None:
            check_type(self._path, topic, self._types[topic], allowed)
        return topic

    def _needed(self, wanted: str, option: str, *allowed: str) -> str:
        topic = self._known(wanted, *allowed)
        if topic is None:
            raise DatasetError(
                f"{self._path}: no messages on {wanted} ({option}); recorded: "
                f"{', '.join(self._types) or 'nothing'}"
            )
        return topic

    def _parts(self) -> list[_Part]:
        """The recording between jumps of a clock that matters here."""
        wanted = {t for t in (self._image, self._pose, self._joints, self._odometry) if t}
        parts, count = [_Part(0)], 0

        def cut(jump: ClockJump) -> None:
            if jump.topic in wanted or not jump.topic:
                self._note(f"{self._path}: {jump}: cut there")
                parts.append(_Part(count))

        for timed in timed_messages(self._path, wanted, cut):
            stored, part = timed.stored, parts[-1]
            if stored.topic == self._image:
                count += 1
                # Messages of one topic may be a moment out of order.
                newest_ns = part.images_ns[-1] if part.images_ns else timed.stamp_ns
                part.images_ns.append(max(newest_ns, timed.stamp_ns))
            else:
                message = decode(stored, self._path)
                part.others.setdefault(stored.topic, []).append((timed.stamp_ns, message))
        for part in parts:
            for messages in part.others.values():
                messages.sort(key=lambda entry: entry[0])
        return parts

    # From messages to tracks

    def _tracks(self, mount: CameraMount) -> Iterator[_Track]:
        parts = self._parts()
        source = self._pose or str(self._joints)
        images = sum(len(part.images_ns) for part in parts)
        found = False
        for part in parts:
            for stretch, first in self._stretches(part):
                used = self._used(stretch)
                if len(used) < 2:
                    self._note(f"{self._path}: {len(stretch)} images are not even one step: left")
                    continue
                if not part.others.get(source):
                    self._note(f"{self._path}: {len(stretch)} images without {source}: left out")
                    continue
                found = True
                yield self._track(part, stretch[used], used + first, mount)
        if not found:
            raise DatasetError(
                f"{self._path}: {images} images are not even one step: at most "
                f"{self._longest_gap_s():g} s may lie between two (--rate {self._rate_hz:g})"
            )

    def _longest_gap_s(self) -> float:
        return max(_LONGEST_GAP_S, _LONGEST_GAP_STEPS / self._rate_hz)

    def _stretches(self, part: _Part) -> Iterator[tuple[NDArray[np.int64], int]]:
        """Times of images without a gap, and the number of the first one."""
        if not part.images_ns:
            return
        times_ns = np.array(part.images_ns, np.int64)
        gaps = np.flatnonzero(np.diff(times_ns) > self._longest_gap_s() * _NS) + 1
        for gap in gaps:
            missing_s = (times_ns[gap] - times_ns[gap - 1]) / _NS
            self._note(
                f"{self._path}: no image for {missing_s:.1f} s before image "
                f"{part.first_image + gap}: cut there"
            )
        first = part.first_image
        for stretch in np.split(times_ns, gaps):
            yield stretch, first
            first += len(stretch)

    def _used(self, times_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Which images: the first at or after each tick of the rate, each once."""
        ticks = np.floor((times_ns - times_ns[0]) * (self._rate_hz / _NS) + 1e-9)
        return np.flatnonzero(np.diff(ticks, prepend=-1.0) > 0)

    def _track(
        self,
        part: _Part,
        times_ns: NDArray[np.int64],
        frames: NDArray[np.int64],
        mount: CameraMount,
    ) -> _Track:
        what = str(self._path)
        if self._pose is not None:
            positions, axes = poses_from_messages(_at(part.others[self._pose], times_ns), what)
            return _Track(frames, positions, axes, np.zeros(len(frames)))
        messages = _at(part.others[str(self._joints)], times_ns)
        joints = [joint_values(message, what) for message in messages]
        base = part.others.get(str(self._odometry))
        odometry = _at(base, times_ns) if base else [None] * len(frames)
        placed = [camera_pose(j, o, mount) for j, o in zip(joints, odometry, strict=True)]
        positions, axes = (np.stack(part) for part in zip(*placed, strict=True))
        aperture = np.array([values["gripper_aperture"] for values in joints])
        return _Track(frames, positions, axes, aperture)

    def _moving(self, tracks: list[_Track]) -> list[_Track]:
        moving = [track for track in tracks if track.motion >= _NO_MOTION]
        if not moving:
            raise DatasetError(
                f"{self._path}: all poses are the same: nothing moves, or tracking was off"
            )
        if len(moving) < len(tracks):
            self._note(f"{self._path}: {len(tracks) - len(moving)} parts without motion: left out")
        return moving


class _Frames:
    """Images of a recording by their number, in rising order; one is kept."""

    def __init__(self, path: Path, topic: str) -> None:
        self._path = path
        self._messages = enumerate(timed_messages(path, {topic}))
        self._index = -1
        self._message: Any = None
        self._type = ""

    def rgb(self, index: int) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB of image `index`.

        Raises:
            DatasetError: it is damaged, or of an encoding that is not read.
        """
        self._go_to(index)
        try:
            return RGB_OF[self._type](self._message, f"{self._path}: image {index}")
        except ImageError as cause:
            raise DatasetError(str(cause)) from cause

    def jpeg(self, index: int) -> bytes:
        """The same as a JPEG: the recorded bytes, where they are one."""
        self._go_to(index)
        data = bytes(self._message.data)
        if self._type == COMPRESSED_IMAGE and is_jpeg(data):
            return data
        return encode_jpeg(self.rgb(index))

    def _go_to(self, index: int) -> None:
        while self._index < index:
            self._index, timed = next(self._messages)
            if self._index == index:
                self._message = decode(timed.stored, self._path)
                self._type = timed.stored.type.name


def _at(messages: list[tuple[int, Any]], times_ns: NDArray[np.int64]) -> list[Any]:
    """For each time, the last message at or before it; the first one before that."""
    stamps = [stamp for stamp, _ in messages]
    return [messages[max(0, bisect.bisect_right(stamps, t) - 1)][1] for t in times_ns]
