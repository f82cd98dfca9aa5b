"""The ffmpeg program decodes a video without a complaint; its colours are those of the frames."""

import subprocess
import sys
from pathlib import Path

import imageio_ffmpeg
import numpy
from truth import read, works

folder, truth = read(sys.argv)
command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "warning", "-i", str(Path(folder, "video.mp4"))]
done = subprocess.run(
    [*command, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], capture_output=True, check=True
)
assert not done.stderr, done.stderr.decode()
count = truth["video"]["frames"]
frames = numpy.frombuffer(done.stdout, numpy.uint8).reshape(count, -1, 3)
error = numpy.abs(frames.mean(axis=1) - numpy.array(truth["video"]["means"])).max()
assert error < 3.0, error
works(f"{count} frames, mean colours within {error:.1f} of 255")
