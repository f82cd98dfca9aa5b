"use strict";
// State and pictures come through one WebSocket; requests go as POST and answer at once.
// Stop goes both ways: through the open socket and as a request, so that one of them may hang.

const $ = (id) => document.getElementById(id);
const NAMES = {
  k: "neighbours k", scale_right: "scale c, right", scale_forward: "scale c, forward",
  scale_up: "scale c, up", gripper_close_above: "gripper closes at", gripper_open_below: "gripper opens below",
  gripper_attempts: "gripper attempts",
};
let socket = null;
let state = {};
let lastMessage = 0;
let lastSession = "";
let lastLabelled = 0;
const pictures = {};

function connect() {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  socket = new WebSocket(`${scheme}://${location.host}/socket`);
  socket.binaryType = "arraybuffer";
  socket.onmessage = (event) => {
    lastMessage = performance.now();
    if (typeof event.data === "string") { state = JSON.parse(event.data); show(); }
    else picture(event.data);
  };
  socket.onclose = () => { setTimeout(connect, 1000); };
}

function picture(data) {
  const kind = new Uint8Array(data, 0, 1)[0] === 0 ? "wrist" : "mosaic";
  const url = URL.createObjectURL(new Blob([new Uint8Array(data, 1)], { type: "image/jpeg" }));
  if (pictures[kind]) URL.revokeObjectURL(pictures[kind]);
  pictures[kind] = url;
  $(kind).src = url;
}

async function post(path, body) {
  try {
    const answer = await fetch(path, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body || {}),
    });
    if (!answer.ok) note("no", `${path}: ${(await answer.text()).trim()}`);
  } catch (error) { note("no", `${path}: ${error.message}`); }
}

function stop() {
  if (socket && socket.readyState === WebSocket.OPEN) socket.send("stop");
  post("stop");
}

const actions = {
  reset: () => post("do/reset"),
  start: () => post("do/start", {
    name: $("name").value, max_steps: Number($("max-steps").value) || 0, attempts: Number($("max-attempts").value) || 0,
  }),
  ready: () => post("do/ready"),
  step: () => post("do/step"),
  clear_latch: () => post("do/clear_latch"),
};
actions["drive-start"] = () => post("do/start", {
  name: $("name").value, max_steps: Number($("max-steps").value) || 500, attempts: Number($("max-attempts").value) || 0, driven: true,
});
const control = () => post("do/take_over", { mine: !(state.supervisor || {}).driven });

// One step of the robot for each press, by the number of the last one that is shown: a press that
// comes late, or twice, moves nothing.
function drive(direction, close) {
  const supervisor = state.supervisor || {};
  if (!supervisor.driven || (state.running || []).includes("drive")) return;
  const length = Math.min(50, Math.max(5, Number($("step-mm").value) || 20)) / 1000;
  post("do/drive", {
    session: supervisor.session, after_step: supervisor.step, close, camera_delta: direction.map((v) => v * length),
  });
}
const closed = () => Boolean((state.executor || {}).gripper_closed);
const grip = () => drive([0, 0, 0], !closed());
const MOVES = {
  ArrowUp: [0, 0, 1], ArrowDown: [0, 0, -1], ArrowLeft: [-1, 0, 0], ArrowRight: [1, 0, 0], PageUp: [0, -1, 0], PageDown: [0, 1, 0],
};

const label = (success) => post("do/label", { success, note: $("note").value });

function text(id, value) { if ($(id).textContent !== value) $(id).textContent = value; }
const fixed = (value, digits) => (value === null || value === undefined ? "–" : value.toFixed(digits));

function element(tag, content, className) {
  const made = document.createElement(tag);
  if (content !== undefined) made.textContent = content;
  if (className) made.className = className;
  return made;
}

function replace(id, children) {
  const key = children.map((child) => child.outerHTML).join("");
  if ($(id).dataset.key === key) return;
  $(id).dataset.key = key;
  $(id).replaceChildren(...children);
}

function show() {
  const supervisor = state.supervisor || {};
  const executor = state.executor || {};
  text("state", supervisor.state || "no supervisor");
  $("state").dataset.state = supervisor.state || "";
  const trouble = executor.state === "LATCHED" ? `LATCHED: ${executor.reason} ${executor.message}` : "";
  const reason = supervisor.reason && supervisor.reason !== "NONE" ? supervisor.reason : "";
  text("reason", trouble || reason);
  text("message", supervisor.message || "");
  text("steps", supervisor.session ? `step ${supervisor.step} of ${supervisor.max_steps}` : "");
  const tried = supervisor.session && executor.attempt ? `attempt ${executor.attempt} of ${executor.attempts}` : "";
  text("attempts", tried + (tried && executor.missed ? ", missed" : ""));
  text("elapsed", supervisor.session ? `${fixed(supervisor.elapsed_s, 1)} s` : "");
  const scene = state.scene ? `; door ${state.scene.door_angle_deg}°${state.scene.grasped ? ", grasped" : ""}` : "";
  text("outcome", supervisor.session ? `${supervisor.session}: ${supervisor.outcome}${scene}` : "");
  $("step").classList.toggle("waiting", Boolean(state.waiting_for_step));
  $("ready").hidden = !state.waiting_for_environment;
  $("pad").hidden = !supervisor.driven;
  $("control").disabled = supervisor.state !== "RUNNING";
  text("control-word", supervisor.driven ? "Hand back" : "Take over");
  text("grip-word", closed() ? "Open gripper" : "Close gripper");
  const ages = state.ages_s || {};
  text("camera-age", ages.camera === undefined ? "" : `${fixed(ages.camera, 1)} s ago`);
  for (const button of document.querySelectorAll("[data-do]"))
    button.disabled = (state.running || []).includes(button.dataset.do);
  for (const button of document.querySelectorAll("#pad button")) button.disabled = (state.running || []).includes("drive");
  showPrediction(state.policy);
  showSettings(state.parameters || {});
  replace("nodes", (state.diagnostics || []).map((node) =>
    element("li", `${node.name.replace(/^\//, "")}: ${node.message}`, node.level)));
  replace("notes", (state.notes || []).slice().reverse().map((entry) =>
    element("li", `${entry.time} ${entry.command}: ${entry.message || (entry.done ? "done" : "refused")}`, entry.done ? "yes" : "no")));
  const labelled = (state.notes || []).filter((entry) => entry.command === "label" && entry.done).length;
  if (supervisor.state === "ENDED" && (supervisor.session !== lastSession || labelled !== lastLabelled)) {
    lastSession = supervisor.session;
    lastLabelled = labelled;
    recordings();
  }
}

function showPrediction(policy) {
  if (!policy) return;
  const unit = policy.action_scale === "metric" ? " m" : "";
  const rows = {
    policy: policy.policy,
    "camera Δ (x, y, z)": policy.camera_delta.map((v) => fixed(v, 3)).join(", ") + unit,
    "sent (base x, y, z)": ((state.executor || {}).sent_base_delta_m || []).map((v) => fixed(v, 3)).join(", ") + " m",
    latency: Object.entries(policy.latency_ms).map(([name, ms]) => `${name} ${fixed(ms, 0)}`).join(", ") + " ms",
  };
  showGrasp(policy.grasp_point);
  if (policy.grasp_point)
    rows["grasp point (x, y, z)"] = policy.grasp_point.delta.map((v, i) => `${fixed(v, 3)} ±${fixed(policy.grasp_point.std[i], 3)}`).join(", ") + unit;
  replace("prediction", Object.entries(rows).flatMap(([name, value]) => [element("dt", name), element("dd", value)]));
  const closed = state.executor && state.executor.gripper_closed ? " closed" : "";
  $("gripper").style.width = `${(100 * (policy.gripper_value || 0)) / 3}%`;
  text("gripper-value", fixed(policy.gripper_value, 2) + (closed ? " ●" : ""));
  $("novelty").style.width = `${Math.min(100, 50 * (policy.novelty || 0))}%`;
  $("novelty").classList.toggle("over", policy.novelty > 1);
  text("novelty-value", fixed(policy.novelty, 2));
  const head = element("tr");
  for (const [name, kind] of [["demonstration", ""], ["frame", "number"], ["distance", "number"], ["weight", "number"]])
    head.append(element("th", name, kind));
  replace("neighbors", [head, ...policy.neighbors.slice(0, 10).map((neighbor) => {
    const row = element("tr");
    row.append(element("td", neighbor.demonstration), element("td", neighbor.frame, "number"),
      element("td", fixed(neighbor.distance, 2), "number"), element("td", `${fixed(100 * neighbor.weight, 0)} %`, "number"));
    return row;
  })]);
}

function showGrasp(point) {
  const image = $("wrist"), width = image.naturalWidth, height = image.naturalHeight;
  const seen = point && width && point.uv.every((value) => value !== null);
  $("grasp").toggleAttribute("hidden", !seen);
  if (!seen) return;
  // As the picture below it: scaled to fit, in the middle.
  $("grasp").setAttribute("viewBox", `0 0 ${width} ${height}`);
  const x = point.uv[0] * width, y = point.uv[1] * height, arm = 0.045 * Math.min(width, height);
  const [cross, around] = $("grasp").children;
  cross.setAttribute("d", `M${x - arm} ${y}H${x + arm}M${x} ${y - arm}V${y + arm}`);
  // A deviation that is not known is an ellipse without size.
  const size = { cx: x, cy: y, rx: (point.uv_std[0] || 0) * width, ry: (point.uv_std[1] || 0) * height };
  for (const [name, value] of Object.entries(size)) around.setAttribute(name, value);
}

function showSettings(parameters) {
  if (parameters.step_mode !== undefined && document.activeElement !== $("step-mode")) $("step-mode").checked = parameters.step_mode;
  for (const name of Object.keys(NAMES)) {
    if (parameters[name] === undefined) continue;
    let input = $(`set-${name}`);
    if (!input) {
      const row = element("div", undefined, "setting");
      const caption = element("label", NAMES[name]);
      input = element("input");
      input.id = `set-${name}`; input.type = "number"; input.step = ["k", "gripper_attempts"].includes(name) ? "1" : "0.01";
      caption.htmlFor = input.id;
      const button = element("button", "set");
      button.onclick = () => { post("do/set_parameter", { name, value: Number(input.value) }); input.dataset.edited = ""; };
      input.oninput = () => { input.dataset.edited = "yes"; };
      row.append(caption, input, button);
      $("settings").append(row);
    }
    if (!input.dataset.edited) input.value = parameters[name];
  }
}

function note(className, content) { $("notes").prepend(element("li", content, className)); $("notes").dataset.key = ""; }

async function recordings() {
  try {
    const rows = await (await fetch("recordings")).json();
    replace("recordings", rows.map((row) => {
      const item = element("li");
      const link = element("a", row.name ? `${row.name} (${row.session})` : row.session);
      link.href = `recordings/${row.session}`; link.target = "_blank"; link.rel = "noopener";
      const said = row.label === true ? "; success" : row.label === false ? "; failure" : "";
      item.append(link, element("div", row.problem || `${row.reason}, ${row.duration_s} s${said}${row.note ? `: ${row.note}` : ""}`, "muted"));
      return item;
    }));
  } catch (error) { note("no", `recordings: ${error.message}`); }
}

$("stop").onclick = stop;
$("success").onclick = () => label(true);
$("failure").onclick = () => label(false);
$("refresh").onclick = recordings;
$("step-mode").onchange = (event) => post("do/set_parameter", { name: "step_mode", value: event.target.checked });
$("control").onclick = control;
$("grip").onclick = grip;
for (const button of document.querySelectorAll("[data-move]"))
  button.onclick = () => drive(button.dataset.move.split(",").map(Number), closed());
for (const button of document.querySelectorAll("[data-do]")) button.onclick = actions[button.dataset.do];

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const typing = event.target.matches("input:not([type=checkbox])");
  if (event.key === "Escape" || (event.key === " " && !typing)) { event.preventDefault(); stop(); return; }
  if (typing) return;
  if (MOVES[event.key] && (state.supervisor || {}).driven) { event.preventDefault(); drive(MOVES[event.key], closed()); return; }
  const key = event.key.toLowerCase();
  const action = { r: actions.reset, e: actions.ready, s: actions.start, n: actions.step, c: actions.clear_latch,
    t: control, g: grip, y: () => label(true), f: () => label(false) }[key];
  if (action) { event.preventDefault(); action(); }
});

setInterval(() => {
  const alive = socket && socket.readyState === WebSocket.OPEN && performance.now() - lastMessage < 3000;
  document.body.dataset.link = alive ? "on" : "off";
  text("link", alive ? "connected" : "no connection: what you see is old");
}, 500);
connect();
recordings();
