"""OpenCV's own video reader, and its JPEG decoder on stored frames."""

import sys
from pathlib import Path

import cv2
import numpy
from truth import read, works

folder, truth = read(sys.argv)
video = cv2.VideoCapture(str(Path(folder, "video.mp4")))
means = []
while True:
    there, frame = video.read()
    if not there:
        break
    means.append(frame[..., ::-1].mean(axis=(0, 1)))
error = numpy.abs(numpy.array(means) - numpy.array(truth["video"]["means"])).max()
assert len(means) == truth["video"]["frames"] and error < 3.0, error
pictures = sorted(Path(folder, "demos").rglob("*.jpg"))
assert len(pictures) == truth["frames"]
assert all(cv2.imread(str(picture)) is not None for picture in pictures)
works(f"{len(means)} video frames within {error:.1f} of 255, {len(pictures)} stored frames")
