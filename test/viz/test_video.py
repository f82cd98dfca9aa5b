"""Videos decode to what was written, and nothing half-written stays behind."""

import av
import numpy as np
import pytest
from vinn.errors import ImageError
from vinn.viz.video import VideoWriter, write_video


def frames(count, height=48, width=64):
    for i in range(count):
        yield np.full((height, width, 3), (20 * i, 200, 40), np.uint8)


def test_written_video_decodes(tmp_path):
    path = write_video(tmp_path / "clips" / "a.mp4", frames(7, 49, 65), fps=15)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert stream.average_rate == 15
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert len(decoded) == 7
    assert decoded[0].shape == (48, 64, 3)  # odd sizes lose their last row and column
    for i, image in enumerate(decoded):
        np.testing.assert_allclose(image.mean(axis=(0, 1)), (20 * i, 200, 40), atol=8)
    assert [entry.name for entry in path.parent.iterdir()] == ["a.mp4"]


def test_failure_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), VideoWriter(tmp_path / "a.mp4", 15) as writer:
        writer.add(next(frames(1)))
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_no_frames_is_an_error(tmp_path):
    with pytest.raises(ImageError, match="at least one frame"):
        write_video(tmp_path / "a.mp4", [], 15)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "second",
    [np.zeros((40, 64, 3), np.uint8), np.zeros((48, 64), np.uint8), np.zeros((48, 64, 3))],
)
def test_unlike_frames_are_refused(tmp_path, second):
    with pytest.raises(ImageError), VideoWriter(tmp_path / "a.mp4", 15) as writer:
        writer.add(next(frames(1)))
        writer.add(second)
    assert list(tmp_path.iterdir()) == []
