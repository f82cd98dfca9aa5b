#!/usr/bin/env bash
# av (PyAV) 16.1.0 (on Python 3.11): frames of a BT.709 film become RGB by BT.601, and naming the film's own
# matrix does not help; 17.0.0 takes the stream's.
#
# `frame.to_ndarray(format="rgb24")` ignores `frame.colorspace`: a phone's or GoPro's film (BT.709) comes out
# with reds too dark and greens too bright by up to 27 levels of 255. `frame.reformat(src_colorspace=X,
# dst_colorspace=X)` with the frame's own X changes nothing; `dst_colorspace="DEFAULT"` does, and for films
# of the full range both ranges must be given as well. lerobot 0.6.1 needs av below 16.
#
# Output seen:
#   av 16.1.0, limited range: to_ndarray off by 27, same matrix twice 27, matrix and DEFAULT 2
#   av 16.1.0, full range: to_ndarray off by 27, same matrix twice 27, matrix, DEFAULT and ranges 2
#   av 17.0.0, limited range: to_ndarray off by 2, same matrix twice 2, matrix and DEFAULT 2
#   av 17.0.0, full range: to_ndarray off by 2, same matrix twice 2, matrix, DEFAULT and ranges 2
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cat > "$work/look.py" <<'P'
import sys
from fractions import Fraction

import av
import numpy as np

WIDTH, HEIGHT = 128, 96
colours = np.array([(200, 40, 40), (40, 200, 40), (40, 40, 200), (180, 170, 60)])
image = np.zeros((HEIGHT, WIDTH, 3))
for index, colour in enumerate(colours):
    row, column = divmod(index, 2)
    image[row * 48 : row * 48 + 48, column * 64 : column * 64 + 64] = colour
spots = [(24, 32), (24, 96), (72, 32), (72, 96)]


def film(path, full):
    """BT.709 in YUV, computed here; the stream says so."""
    r, g, b = np.moveaxis(image / 255, 2, 0)
    y = 0.2126 * r + 0.7152 * g + 0.0722 * b
    u, v = (b - y) / 1.8556, (r - y) / 1.5748
    planes = (y * 255, u * 255 + 128, v * 255 + 128) if full else (16 + 219 * y, 128 + 224 * u, 128 + 224 * v)
    planes = [p if i == 0 else p[::2, ::2] for i, p in enumerate(planes)]
    flat = np.concatenate([np.clip(np.rint(p), 0, 255).astype(np.uint8).ravel() for p in planes])
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt, stream.options = WIDTH, HEIGHT, "yuv420p", {"crf": "3"}
        stream.codec_context.colorspace, stream.codec_context.color_range = 1, 2 if full else 1
        for pts in range(2):
            frame = av.VideoFrame.from_ndarray(flat.reshape(-1, WIDTH), format="yuv420p")
            frame.pts, frame.time_base = pts, Fraction(1, 10)
            frame.colorspace, frame.color_range = 1, 2 if full else 1
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def off(pixels):
    found = np.array([pixels[spot] for spot in spots]).astype(int)
    return int(abs(found - colours).max())


good = True
for full in (False, True):
    film(sys.argv[1], full)
    with av.open(sys.argv[1]) as container:
        frame = next(container.decode(video=0))
    own = {"src_colorspace": 1, "dst_colorspace": "DEFAULT"}
    if full:
        own |= {"src_color_range": 2, "dst_color_range": 2}
    plain = off(frame.to_ndarray(format="rgb24"))
    twice = off(frame.reformat(format="rgb24", src_colorspace=1, dst_colorspace=1).to_ndarray())
    right = off(frame.reformat(format="rgb24", **own).to_ndarray())
    words = "matrix, DEFAULT and ranges" if full else "matrix and DEFAULT"
    print(
        f"av {av.__version__}, {'full' if full else 'limited'} range: to_ndarray off by {plain}, "
        f"same matrix twice {twice}, {words} {right}"
    )
    wrong = sys.argv[2] == "wrong"
    good = good and (plain > 10) == wrong and (twice > 10) == wrong and right <= 4
sys.exit(0 if good else 1)
P
result=0
for pair in 16.1.0:wrong 17.0.0:right; do
    python3 -m venv --clear "$work/env"
    "$work/env/bin/pip" install -q "av==${pair%%:*}" numpy
    "$work/env/bin/python" "$work/look.py" "$work/film.mp4" "${pair##*:}" || result=1
done
exit $result
