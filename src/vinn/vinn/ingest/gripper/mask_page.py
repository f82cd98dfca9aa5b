"""A small web page on this machine for painting the gripper mask over a clip's frames."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vinn.demos.encoded_image import png_size
from vinn.demos.frames import encode_jpeg
from vinn.errors import ConfigError
from vinn.ingest.decode import probe_video, sample_frames
from vinn.ingest.gripper.mask import write_mask
from vinn.ingest.lenses.camera_profile import CameraProfile
from vinn.ingest.lenses.linearize import Linearizer
from vinn.web.local_page import Answer, LocalPage

FRAMES = 12
_FIRST_S = 60.0
"""Frames are taken from the clip's first minute: decoding more would keep one waiting."""


def frames_to_paint_on(video: Path, profile: CameraProfile) -> list[NDArray[np.uint8]]:
    """About `FRAMES` output frames spread over the video's first minute, (H, W, 3) uint8.

    Raises:
        CameraError: the video cannot be read.
        ConfigError: the profile is for another aspect ratio.
    """
    info = probe_video(video)
    to_output = Linearizer(
        profile.lens_for(info.width_px, info.height_px, str(video)), profile.output_lens
    )
    length_s = min(info.duration_s or _FIRST_S, _FIRST_S)
    rate_hz = FRAMES / max(length_s, 1.0)
    return [to_output(frame.image_rgb) for frame in sample_frames(video, rate_hz, 0.0, length_s)]


class MaskServer(LocalPage):
    """Serves frames with a mask to paint over them, and writes it when it is saved.

    Args:
        frames_rgb: at least one, all (H, W, 3) uint8.
        mask: (H, W) to begin with.
        target: the PNG file that is written.
        port: 0 takes a free one.
    """

    def __init__(
        self,
        frames_rgb: Sequence[NDArray[np.uint8]],
        mask: NDArray[np.bool_],
        target: Path,
        port: int = 0,
    ) -> None:
        self._frames = [encode_jpeg(image) for image in frames_rgb]
        self._mask, self._target = mask, target
        super().__init__(port, "image/png", max_body=64 * 2**20)

    def get(self, parts: list[str]) -> Answer | None:
        """The page, the frames' number and size, a frame, or the mask."""
        if parts == [""]:
            return Answer("text/html; charset=utf-8", PAGE.encode())
        if parts == ["frames"]:
            height, width = self._mask.shape
            content = {"count": len(self._frames), "width": width, "height": height}
            return Answer("application/json", json.dumps(content).encode())
        if parts == ["mask"]:
            layer = np.zeros((*self._mask.shape, 4), np.uint8)
            layer[self._mask] = (0, 0, 255, 255)
            return Answer("image/png", cv2.imencode(".png", layer)[1].tobytes())
        if len(parts) == 2 and parts[0] == "frame" and parts[1].isdecimal():
            index = int(parts[1])
            return Answer("image/jpeg", self._frames[index]) if index < len(self._frames) else None
        return None

    def post(self, body: bytes) -> None:
        """The painted layer as PNG: what is opaque is the gripper.

        Raises:
            ImageError: no whole PNG.
            ConfigError: not a layer of the frames' size, all or nothing is painted, or the file
                cannot be written.
        """
        height, width = self._mask.shape
        wanted = f"what the page sent (expected a PNG of {width}x{height} with an alpha channel)"
        # Before it is decoded: a few bytes can claim gigabytes.
        if (size := png_size(body, wanted)) != (width, height):
            raise ConfigError(f"{wanted}: {size[0]}x{size[1]}")
        layer = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_UNCHANGED)
        if layer is None or layer.shape != (height, width, 4):
            raise ConfigError(f"{wanted}: cannot be decoded, or has no alpha channel")
        mask = np.asarray(layer[..., 3] > 127)
        write_mask(self._target, mask)
        self._mask = mask


PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>Gripper mask</title>
<style>
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { margin: 0 auto; max-width: 1000px; padding: 12px; }
#stage { position: relative; line-height: 0; background: #111; user-select: none; }
#stage img, #stage canvas { width: 100%; }
#stage canvas { position: absolute; inset: 0; height: 100%; opacity: .5; cursor: crosshair;
  touch-action: none; }
.row { display: flex; flex-wrap: wrap; gap: 12px; align-items: center; margin: 10px 0; }
button { font: inherit; padding: 8px 14px; border: 2px solid #8888; border-radius: 8px;
  background: none; color: inherit; cursor: pointer; }
button.on, button#save { background: #0b6bcb; color: #fff; border-color: #0b6bcb; }
</style></head><body>
<div id="stage"><img id="frame" alt="frame of the clip"><canvas id="layer"></canvas></div>
<div class="row">
<button id="paint">paint</button><button id="erase">erase</button>
<label>brush <input id="size" type="range" min="3" max="120" value="30"></label>
<label>frame <input id="at" type="range" min="0" value="0"></label>
<button id="undo">undo</button><button id="save">save</button><span id="state" role="status"></span>
</div>
<p>Paint everything that moves with the camera: gripper, fingers and cables, in every frame that the
slider shows, with a margin of a few pixels. Keys: P paint, E erase, Z undo, S save, left and right
the frame, [ and ] the brush.</p>
<script>
const by = id => document.getElementById(id), canvas = by("layer"), pen = canvas.getContext("2d");
let count = 1, erasing = false, last = null, kept = [];
function mode(off) {
  erasing = off; by("paint").classList.toggle("on", !off); by("erase").classList.toggle("on", off);
}
function show(to) {
  by("at").value = Math.max(0, Math.min(count - 1, to));
  by("frame").src = "/frame/" + by("at").value;
}
function place(e) {
  const box = canvas.getBoundingClientRect(), scale = canvas.width / box.width;
  return [(e.clientX - box.left) * scale, (e.clientY - box.top) * scale];
}
function stroke(to) {
  pen.globalCompositeOperation = erasing ? "destination-out" : "source-over";
  pen.strokeStyle = "#f00"; pen.lineCap = "round"; pen.lineWidth = +by("size").value;
  pen.beginPath(); pen.moveTo(...last); pen.lineTo(to[0] + .01, to[1]); pen.stroke(); last = to;
}
canvas.onpointerdown = e => {
  e.preventDefault();
  kept = kept.slice(-19).concat(pen.getImageData(0, 0, canvas.width, canvas.height));
  canvas.setPointerCapture(e.pointerId); by("state").textContent = "";
  last = place(e); stroke(last);
};
canvas.onpointermove = e => { if (last) stroke(place(e)); };
canvas.onpointerup = canvas.onpointercancel = () => { last = null; };
function undo() { const before = kept.pop(); if (before) pen.putImageData(before, 0, 0); }
function save() {
  canvas.toBlob(async blob => {
    const answer = await fetch("/mask", { method: "POST", headers: { "Content-Type": "image/png" },
      body: blob }).catch(() => null);
    by("state").textContent = !answer ? "not saved: is the command still running?"
      : answer.ok ? "saved" : await answer.text();
  }, "image/png");
}
by("paint").onclick = () => mode(false); by("erase").onclick = () => mode(true);
by("undo").onclick = undo; by("save").onclick = save; by("at").oninput = e => show(+e.target.value);
addEventListener("keydown", e => {
  if (e.ctrlKey || e.metaKey || e.altKey) return;
  const size = by("size"), at = +by("at").value;
  const does = { p: () => mode(false), e: () => mode(true), z: undo, s: save,
    ArrowRight: () => show(at + 1), ArrowLeft: () => show(at - 1),
    "[": () => { size.value = +size.value - 6; }, "]": () => { size.value = +size.value + 6; } };
  if (does[e.key]) { e.preventDefault(); does[e.key](); }
});
mode(false);
fetch("/frames").then(r => r.json()).then(found => {
  count = found.count; by("at").max = count - 1;
  canvas.width = found.width; canvas.height = found.height; show(0);
  const start = new Image(); start.onload = () => pen.drawImage(start, 0, 0); start.src = "/mask";
});
</script></body></html>
"""
