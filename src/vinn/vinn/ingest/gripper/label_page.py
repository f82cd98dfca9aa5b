"""A small web page on this machine for labelling gripper states by keyboard."""

from __future__ import annotations

import json
from pathlib import Path
from threading import Lock

from vinn.demos.types import GripperState
from vinn.errors import ConfigError, DatasetError
from vinn.ingest.clip import MANUAL, clip_folders
from vinn.ingest.gripper.source import frames_per_step
from vinn.reading.documents import parse_json
from vinn.reading.regular import read_bytes
from vinn.web.local_page import Answer, LocalPage


class LabelServer(LocalPage):
    """Serves the action frames of all clips in a work folder and stores what is pressed.

    Every label is on disk before the page shows it.

    Args:
        work_root: made by `vinn ingest`.
        port: 0 takes a free one.

    Raises:
        DatasetError: no clips.
    """

    def __init__(self, work_root: Path, port: int = 0) -> None:
        self._clips = {clip.name: clip for clip in clip_folders(work_root)}
        self._lock = Lock()
        super().__init__(port, "application/json", max_body=10_000)

    def frames(self) -> list[dict[str, object]]:
        """Every action frame: clip, slot, and its state or None."""
        return [
            {"clip": name, "slot": slot, "state": states.get(slot)}
            for name, clip in self._clips.items()
            for states in [clip.gripper_states]
            for slot in clip.action_slots(frames_per_step(clip))
        ]

    def label(self, clip_name: str, slot: int, state: int) -> None:
        """Store one label.

        Raises:
            ConfigError: unknown clip, slot or state.
        """
        clip = self._clips.get(clip_name)
        if clip is None or slot not in clip.slots or state not in (0, 1, 2, 3):
            raise ConfigError(f"label of clip {clip_name!r}, slot {slot}, state {state}: unknown")
        with self._lock:
            states = clip.gripper_states if clip.gripper_source == MANUAL else {}
            clip.write_gripper(MANUAL, {**states, slot: GripperState(state)})

    def image(self, clip_name: str, slot: int) -> bytes:
        """JPEG of a frame.

        Raises:
            ConfigError: unknown clip or slot.
        """
        clip = self._clips.get(clip_name)
        if clip is None or slot not in clip.slots:
            raise ConfigError(f"frame of clip {clip_name!r}, slot {slot}: unknown")
        return read_bytes(clip.frames_dir / f"{slot:06d}.jpg", DatasetError)

    def get(self, parts: list[str]) -> Answer | None:
        """The page, the list of frames, or a frame."""
        if parts == [""]:
            return Answer("text/html; charset=utf-8", PAGE.encode())
        if parts == ["frames"]:
            return Answer("application/json", json.dumps(self.frames()).encode())
        if len(parts) == 3 and parts[0] == "image" and parts[2].isdecimal():
            return Answer("image/jpeg", self.image(parts[1], int(parts[2])))
        return None

    def post(self, body: bytes) -> None:
        """One label, as JSON: the clip's name, the slot and the state as integers.

        Raises:
            ConfigError: it is something else, or unknown.
        """
        content = parse_json(body, "what the page sent", ConfigError)
        asked = content if isinstance(content, dict) else {}
        clip, slot, state = (asked.get(name) for name in ("clip", "slot", "state"))
        if not (isinstance(clip, str) and type(slot) is int and type(state) is int):
            raise ConfigError("what the page sent: expected a clip's name, a slot and a state")
        self.label(clip, slot, state)


PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>Gripper labels</title>
<style>
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { margin: 0 auto; max-width: 1000px; padding: 12px; }
img#frame { width: 100%; max-height: 68vh; object-fit: contain; background: #111; }
.keys { display: grid; grid-template-columns: repeat(4, 1fr); gap: 8px; margin: 10px 0; }
button { font: inherit; padding: 10px 4px; border: 2px solid #8888; border-radius: 8px;
  background: none; color: inherit; cursor: pointer; }
button.on { background: #0b6bcb; color: #fff; border-color: #0b6bcb; }
#strip { display: flex; flex-wrap: wrap; gap: 3px; }
#strip i { width: 14px; height: 14px; border-radius: 3px; background: #8885; cursor: pointer; }
#strip i.s0 { background: #2ca25f; } #strip i.s1 { background: #a6d96a; }
#strip i.s2 { background: #fdae61; } #strip i.s3 { background: #d7301f; }
#strip i.here { outline: 2px solid currentColor; }
</style></head><body>
<div id="where" aria-live="polite"></div><img id="frame" alt="frame to label">
<div class="keys" id="keys"></div>
<p>Keys 1 to 4 label and go on; left and right arrows move; N goes to the next frame without a
label; R repeats the last label.</p>
<div id="strip"></div><p id="problem" role="alert"></p>
<script>
const names = ["1 open", "2 almost open", "3 almost closed", "4 closed"];
let frames = [], at = 0, last = 0;
const by = id => document.getElementById(id);
names.forEach((name, state) => {
  const button = document.createElement("button");
  button.textContent = name; button.onclick = () => label(state); by("keys").append(button);
});
function show() {
  const f = frames[at], done = frames.filter(x => x.state !== null).length;
  by("where").textContent = `${f.clip}, frame ${f.slot} · ${done} of ${frames.length} labelled`;
  by("frame").src = `/image/${encodeURIComponent(f.clip)}/${f.slot}`;
  [...by("keys").children].forEach((b, i) => b.classList.toggle("on", i === f.state));
  [...by("strip").children].forEach((e, i) => {
    const s = frames[i].state;
    e.className = (s === null ? "" : "s" + s) + (i === at ? " here" : "");
  });
  const next = frames[at + 1];
  if (next) new Image().src = `/image/${encodeURIComponent(next.clip)}/${next.slot}`;
}
function go(to) { at = Math.max(0, Math.min(frames.length - 1, to)); show(); }
async function label(state) {
  const f = frames[at];
  const answer = await fetch("/label", { method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ clip: f.clip, slot: f.slot, state }) }).catch(e => e);
  by("problem").textContent = answer.ok ? "" : "not saved: is the command still running?";
  if (!answer.ok) return;
  f.state = last = state; go(frames.indexOf(f) + 1);
}
addEventListener("keydown", e => {
  if (e.key >= "1" && e.key <= "4") label(+e.key - 1);
  else if (e.key === "r") label(last);
  else if (e.key === "ArrowRight") go(at + 1);
  else if (e.key === "ArrowLeft") go(at - 1);
  else if (e.key === "n") {
    const to = frames.findIndex((f, i) => i > at && f.state === null);
    go(to < 0 ? frames.findIndex(f => f.state === null) : to);
  }
});
fetch("/frames").then(r => r.json()).then(found => {
  frames = found;
  frames.forEach((f, i) => {
    const cell = document.createElement("i"); cell.title = `${f.clip} ${f.slot}`;
    cell.onclick = () => go(i); by("strip").append(cell);
  });
  show();
});
</script></body></html>
"""
