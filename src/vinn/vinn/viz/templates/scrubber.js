"use strict";
for (const root of document.querySelectorAll(".scrubber")) {
  const data = JSON.parse(root.querySelector("script[type='application/json']").textContent);
  const frames = data.frames;
  const q = (name) => root.querySelector(name);
  const canvas = q("canvas.query"), slider = q("input"), clock = q("output");
  const images = new Map();
  let shown = 0, playing = null;

  const make = (tag, text, cls) => {
    const node = document.createElement(tag);
    if (text !== undefined) node.textContent = text;
    if (cls) node.className = cls;
    return node;
  };
  const load = (uri) => {
    if (!images.has(uri)) { const image = new Image(); image.src = uri; images.set(uri, image); }
    const image = images.get(uri);
    return image.complete ? Promise.resolve(image) : image.decode().then(() => image, () => image);
  };
  const color = (forward) => forward >= 0 ? "#ff9f1c" : "#56b4e9";

  function arrow(context, size, spec, wide) {
    const [x, y, forward] = spec, c = size / 2, tx = c + x * size, ty = c + y * size;
    const angle = Math.atan2(ty - c, tx - c), head = size * 0.05;
    for (const [style, width] of [["#0a0c10", wide + 3], [color(forward), wide]]) {
      context.strokeStyle = style; context.lineWidth = width; context.lineCap = "round";
      context.beginPath();
      if (Math.hypot(x, y) < 0.02) context.arc(c, c, size * 0.025, 0, 7);
      else {
        context.moveTo(c, c); context.lineTo(tx, ty);
        for (const side of [2.6, -2.6]) {
          context.moveTo(tx, ty);
          context.lineTo(tx + head * Math.cos(angle + side), ty + head * Math.sin(angle + side));
        }
      }
      context.stroke();
    }
    context.fillStyle = "rgba(10,12,16,.6)"; context.fillRect(size - 14, size * 0.1, 8, size * 0.8);
    context.fillStyle = color(forward);
    context.fillRect(size - 14, c, 8, -forward * size * 0.4);
  }

  function grasp(context, left, top, width, height, spec) {
    if (!spec || !spec.uv) return;
    const x = left + spec.uv[0] * width, y = top + spec.uv[1] * height, arm = 0.045 * Math.min(width, height);
    for (const [style, wide] of [["#0a0c10", 4], ["#f0e442", 2]]) {
      context.strokeStyle = style; context.lineWidth = wide; context.lineCap = "round";
      context.beginPath();
      context.moveTo(x - arm, y); context.lineTo(x + arm, y);
      context.moveTo(x, y - arm); context.lineTo(x, y + arm);
      context.stroke();
      if (!spec.std) continue;
      context.beginPath();
      context.ellipse(x, y, spec.std[0] * width, spec.std[1] * height, 0, 0, 7);
      context.stroke();
    }
  }

  function paint(target, uri, spec, wide, point) {
    const context = target.getContext("2d"), size = target.width;
    const draw = (image) => {
      context.fillStyle = "#12151b"; context.fillRect(0, 0, size, size);
      if (image && image.width) {
        const scale = Math.min(size / image.width, size / image.height);
        const w = image.width * scale, h = image.height * scale;
        context.drawImage(image, (size - w) / 2, (size - h) / 2, w, h);
        grasp(context, (size - w) / 2, (size - h) / 2, w, h, point);
      }
      arrow(context, size, spec, wide);
    };
    target.dataset.uri = uri || "";
    if (uri) load(uri).then((image) => { if (target.dataset.uri === uri) draw(image); }); else draw(null);
  }

  const cards = [];
  function neighbors(frame) {
    const box = q(".neighbors");
    while (cards.length < frame.neighbors.length) {
      const card = make("div", undefined, "neighbor"), canvas = make("canvas");
      canvas.width = canvas.height = 150;
      card.append(canvas, make("div", "", "bar"), make("small"));
      card.querySelector(".bar").append(make("i"));
      box.append(card); cards.push(card);
    }
    cards.forEach((card, i) => {
      const neighbor = frame.neighbors[i];
      card.hidden = !neighbor;
      if (!neighbor) return;
      paint(card.querySelector("canvas"), data.pictures[neighbor.index], neighbor.arrow, 4);
      card.querySelector("i").style.width = `${100 * neighbor.weight}%`;
      card.querySelector("small").textContent =
        `${(100 * neighbor.weight).toFixed(0)} %  d ${neighbor.distance.toFixed(2)}  g${neighbor.gripper}  ${neighbor.demonstration}:${neighbor.frame}`;
    });
  }

  function facts(frame) {
    const list = (values) => values.map((v) => v.toFixed(3)).join(", ");
    const rows = [["prediction", `#${frame.sequence}`], [`camera Δ x, y, z (${frame.scale})`, list(frame.delta)],
      ["gripper", `${frame.gripper.toFixed(2)}  (open … closed: ${frame.states.map((p) => `${(100 * p).toFixed(0)} %`).join(", ")})`],
      ["novelty", frame.novelty === null ? "–" : frame.novelty.toFixed(2) + (frame.novelty > 1 ? "  above the limit" : "")],
      ["latency", Object.entries(frame.latency).map(([name, ms]) => `${name} ${ms}`).join(", ") + " ms"]];
    if (frame.grasp) rows.push(["grasp point, camera", frame.grasp.text + (frame.grasp.uv ? "" : "  (outside)")]);
    if (frame.sent) rows.push(["requested, base x, y, z [m]", list(frame.sent.requested)],
      ["sent, base x, y, z [m]", list(frame.sent.sent) + (frame.sent.closed ? "  gripper closed" : "") +
        (frame.sent.reason && frame.sent.reason !== "NONE" ? `  ${frame.sent.reason}` : "")]);
    q("dl").replaceChildren(...rows.flatMap(([name, value]) => [make("dt", name), make("dd", value)]));
  }

  const palette = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9"];
  const svg = (tag, attributes) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    return node;
  };
  const W = 1000, H = 110, start = Math.min(0, frames.length ? frames[0].t : 0);
  const span = Math.max(data.duration, frames.length ? frames[frames.length - 1].t : 0) - start || 1;
  const cursors = [];
  for (const track of data.tracks) {
    const names = Object.keys(track.lines);
    const values = names.flatMap((name) => track.lines[name].map((p) => p[1])).concat(track.limits.map((l) => l.y));
    let low = Math.min(...values), high = Math.max(...values);
    if (high - low < 1e-9) { low -= 0.5; high += 0.5; }
    const X = (t) => ((t - start) / span) * W, Y = (v) => H - 6 - ((v - low) / (high - low)) * (H - 12);
    const picture = svg("svg", { viewBox: `0 0 ${W} ${H}`, preserveAspectRatio: "none" });
    for (const t of data.steps) picture.append(svg("line", { x1: X(t), x2: X(t), y1: H - 5, y2: H, class: "tick" }));
    for (const limit of track.limits) picture.append(svg("line", { x1: 0, x2: W, y1: Y(limit.y), y2: Y(limit.y), class: "limit" }));
    names.forEach((name, i) => picture.append(svg("polyline", {
      points: track.lines[name].map((p) => `${X(p[0]).toFixed(1)},${Y(p[1]).toFixed(1)}`).join(" "),
      fill: "none", stroke: palette[i % palette.length], "stroke-width": 2, "vector-effect": "non-scaling-stroke",
      class: name === "closed" ? "faint" : "" })));
    const cursor = svg("line", { y1: 0, y2: H, class: "cursor", "vector-effect": "non-scaling-stroke" });
    picture.append(cursor);
    cursors.push((t) => { cursor.setAttribute("x1", X(t)); cursor.setAttribute("x2", X(t)); });
    const figure = make("figure", undefined, "track"), caption = make("figcaption");
    caption.append(make("b", track.name), ` [${track.unit}] `);
    names.forEach((name, i) => { const key = make("span", name); key.style.color = palette[i % palette.length]; caption.append(key, " "); });
    for (const limit of track.limits) caption.append(make("span", `-- ${limit.name} ${limit.y}`, "muted"), " ");
    caption.append(make("span", `${low.toPrecision(3)} … ${high.toPrecision(3)}`, "range"));
    figure.append(caption, picture);
    picture.addEventListener("pointerdown", (event) => seek(event, picture));
    picture.addEventListener("pointermove", (event) => { if (event.buttons) seek(event, picture); });
    q(".tracks").append(figure);
  }

  function seek(event, picture) {
    const box = picture.getBoundingClientRect();
    at(start + span * (event.clientX - box.left) / box.width);
  }
  function at(t) {
    let best = 0;
    frames.forEach((frame, i) => { if (Math.abs(frame.t - t) < Math.abs(frames[best].t - t)) best = i; });
    show(best);
  }
  function show(index) {
    if (!frames.length) return;
    shown = Math.max(0, Math.min(frames.length - 1, index));
    const frame = frames[shown];
    slider.value = shown;
    clock.textContent = `${frame.t.toFixed(2)} s  ${shown + 1} / ${frames.length}`;
    paint(canvas, frame.image, frame.arrow, 6, frame.grasp);
    neighbors(frame); facts(frame);
    cursors.forEach((move) => move(frame.t));
    events.forEach(([t, row]) => row.classList.toggle("past", t <= frame.t));
  }
  const events = data.events.map((event) => {
    const row = make("li");
    row.append(make("time", `${event.t.toFixed(2)} s`), make("b", event.source.replace(/^\//, "")), ` ${event.text}`);
    row.onclick = () => at(event.t);
    q(".events").append(row);
    return [event.t, row];
  });
  function play() {
    if (playing) { clearTimeout(playing); playing = null; q("button").textContent = "▶"; return; }
    q("button").textContent = "❚❚";
    const next = () => {
      if (shown + 1 >= frames.length) { playing = null; q("button").textContent = "▶"; return; }
      const wait = Math.min(1000, Math.max(20, 1000 * (frames[shown + 1].t - frames[shown].t)));
      playing = setTimeout(() => { show(shown + 1); next(); }, wait);
    };
    if (shown + 1 >= frames.length) show(0);
    next();
  }
  slider.max = Math.max(0, frames.length - 1);
  slider.oninput = () => show(Number(slider.value));
  q("button").onclick = play;
  root.addEventListener("keydown", (event) => {
    if (event.target === slider) return;
    if (event.key === "ArrowRight") show(shown + 1);
    else if (event.key === "ArrowLeft") show(shown - 1);
  });
  show(0);
}
