"""A rollout as a Rerun recording (`.rrd`): images, neighbours, arrows and tracks on one time axis.

Needs the package `rerun-sdk` (extra `rerun`); nothing is sent anywhere, a file is written.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vinn.demos.files import atomic_path
from vinn.demos.frames import encode_jpeg
from vinn.errors import ArtefactError, DatasetError
from vinn.policies.types import Neighbor, Prediction
from vinn.recordings.tracks import RolloutTracks
from vinn.viz.arrow import arrow_geometry
from vinn.viz.mosaic import Thumbnail
from vinn.viz.timeline import RecordedImage, RolloutTimeline

TIMELINE = "time"
"""Seconds since the rollout began."""
MAX_NEIGHBORS = 5
_JPEG_QUALITY = 85


def write_rerun(
    timeline: RolloutTimeline, tracks: RolloutTracks, thumbnail: Thumbnail | None, path: Path
) -> Path:
    """Write what a rollout's page shows as a Rerun recording.

    Args:
        timeline: images, predictions, scene.
        tracks: of the same recording.
        thumbnail: gives the picture of a neighbour by its `index`; None: no pictures.
        path: file to write, `*.rrd`; replaced if it exists.

    Raises:
        ModuleNotFoundError: `rerun-sdk` is not installed.
        DatasetError: the file cannot be written.
        ImageError: a recorded image is damaged.
    """
    import rerun

    with atomic_path(path, DatasetError) as temporary:
        stream = rerun.RecordingStream("vinn_rollout", recording_id=timeline.path.name)
        stream.save(temporary)
        _Writer(rerun, stream, timeline).write(tracks, thumbnail)
        stream.flush()
        stream.disconnect()
    return path


class _Writer:
    """Logs one rollout; `rerun` is the module, imported where it is needed alone."""

    def __init__(self, rerun: Any, stream: Any, timeline: RolloutTimeline) -> None:
        self._rerun = rerun
        self._stream = stream
        self._timeline = timeline

    def write(self, tracks: RolloutTracks, thumbnail: Thumbnail | None) -> None:
        images = {image.stamp_ns: image for image in self._timeline.wrist}
        for image in self._timeline.wrist:
            self._image("wrist", image)
        for image in self._timeline.overview:
            self._image("overview", image)
        for recorded in self._timeline.predictions:
            self._at(recorded.recorded_ns)
            self._prediction(recorded.prediction, images.get(recorded.stamp_ns), thumbnail)
        for step in tracks.steps:
            self._at(step.recorded_ns)
            self._scalar("step/requested_m", float(np.linalg.norm(step.requested_base_delta_m)))
            self._scalar("step/sent_m", float(np.linalg.norm(step.sent_base_delta_m)))
        for time_ns, closed in tracks.gripper_closed:
            self._at(time_ns)
            self._scalar("gripper/closed", 3.0 * closed)
        for joint, values in tracks.joints.items():
            for time_ns, value in values:
                self._at(time_ns)
                self._scalar(f"joints/{joint}", value)
        for moment in self._timeline.scene:
            self._at(moment.recorded_ns)
            self._scalar("door_deg", float(np.degrees(moment.door_angle_rad)))
        for event in tracks.events:
            self._at(event.recorded_ns)
            self._stream.log("events", self._rerun.TextLog(f"{event.source}: {event.text}"))

    def _prediction(
        self, said: Prediction, image: RecordedImage | None, thumbnail: Thumbnail | None
    ) -> None:
        if image is not None:
            self._arrow("wrist/action", said.camera_delta, said, image.decode())
        self._scalar("gripper/value", said.gripper_value)
        self._scalar("novelty", said.novelty)
        for stage, seconds in said.latency_s.items():
            self._scalar(f"latency_ms/{stage}", 1e3 * seconds)
        for rank, neighbor in enumerate(said.neighbors[:MAX_NEIGHBORS]):
            self._neighbor(f"neighbors/{rank}", neighbor, said, thumbnail)
        lines = [
            f"| {n.demonstration} | {n.frame} | {n.distance:.3f} | {n.weight:.3f} |"
            for n in said.neighbors
        ]
        header = ["| demonstration | frame | distance | weight |", "|---|---:|---:|---:|"]
        text = self._rerun.TextDocument("\n".join(header + lines), media_type="text/markdown")
        self._stream.log("neighbors", text)

    def _neighbor(
        self, entity: str, neighbor: Neighbor, said: Prediction, thumbnail: Thumbnail | None
    ) -> None:
        self._scalar(f"weights/{entity.rpartition('/')[2]}", neighbor.weight)
        if thumbnail is None:
            return
        try:
            picture = thumbnail(neighbor.index)
        except (IndexError, ArtefactError):
            return  # the artefact at hand is another one
        jpeg = encode_jpeg(picture, _JPEG_QUALITY)
        self._stream.log(entity, self._rerun.EncodedImage(contents=jpeg, media_type="image/jpeg"))
        self._arrow(f"{entity}/action", neighbor.camera_delta, said, picture)

    def _arrow(
        self,
        entity: str,
        camera_delta: NDArray[np.floating],
        said: Prediction,
        image_rgb: NDArray[np.uint8],
    ) -> None:
        """As `vinn.viz.arrow` draws it: orange is forward, blue is back."""
        height, width = image_rgb.shape[:2]
        arrow = arrow_geometry(camera_delta, said.action_scale, height, width)
        vector = np.subtract(arrow.tip_px, arrow.start_px)
        self._stream.log(
            entity,
            self._rerun.Arrows2D(origins=[arrow.start_px], vectors=[vector], colors=[arrow.color]),
        )

    def _image(self, entity: str, image: RecordedImage) -> None:
        self._at(image.recorded_ns)
        self._stream.log(
            entity, self._rerun.EncodedImage(contents=image.jpeg, media_type="image/jpeg")
        )

    def _scalar(self, entity: str, value: float) -> None:
        if np.isfinite(value):
            self._stream.log(entity, self._rerun.Scalars([value]))

    def _at(self, time_ns: int) -> None:
        self._stream.set_time(TIMELINE, duration=(time_ns - self._timeline.start_ns) / 1e9)
