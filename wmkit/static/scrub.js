// wmkit scrubber: lanes of frames on one shared cursor. Told in words in nbs/70_scrub.ipynb.
// Everything is played in the page: all frames came as one block of bytes, so no kernel is needed.

const style = `
.wmkit-scrub { --ink: var(--jp-ui-font-color1, var(--vscode-editor-foreground, #1f2328));
  --paper: var(--jp-layout-color1, var(--vscode-editor-background, #ffffff));
  --soft: color-mix(in srgb, var(--ink) 62%, var(--paper)); --line: color-mix(in srgb, var(--ink) 16%, var(--paper));
  --fill: color-mix(in srgb, var(--ink) 5%, var(--paper)); --dream: #8250df; --context: #57708c;
  --dream-ink: color-mix(in srgb, var(--dream) 82%, var(--ink));
  box-sizing: border-box; width: fit-content; max-width: 100%; min-width: min(100%, 480px); padding: 12px 14px 10px; margin: 2px;
  color: var(--ink); background: var(--paper); border: 1px solid var(--line); border-radius: 10px; outline: none;
  font: 13px/1.35 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; font-variant-numeric: tabular-nums; }
@media (prefers-color-scheme: dark) { .wmkit-scrub {
  --ink: var(--jp-ui-font-color1, var(--vscode-editor-foreground, #e6e8eb));
  --paper: var(--jp-layout-color1, var(--vscode-editor-background, #16181d)); } }
.wmkit-scrub * { box-sizing: border-box; }
.wmkit-scrub:focus-visible, .wmkit-scrub:focus { border-color: var(--dream); box-shadow: 0 0 0 1px var(--dream); }
.wmkit-scrub .title { font-weight: 600; margin-bottom: 8px; }
.wmkit-scrub .lanes { display: flex; gap: 12px; } .wmkit-scrub .lanes.many { flex-wrap: wrap; }
.wmkit-scrub .lane { flex: 0 1 auto; min-width: 0; max-width: 100%; }
.wmkit-scrub .head { display: flex; align-items: center; gap: 7px; height: 22px; margin-bottom: 4px; font-weight: 600; white-space: nowrap; }
.wmkit-scrub .badge { font-size: 11px; font-weight: 600; line-height: 17px; padding: 0 8px; border-radius: 9px; color: #fff; background: var(--context); }
.wmkit-scrub .dreaming .badge { background: var(--dream); }
.wmkit-scrub .view { container-type: inline-size; position: relative; border-radius: 4px; overflow: hidden; background: #000; box-shadow: 0 0 0 1px var(--line); }
.wmkit-scrub .dreaming .view { box-shadow: 0 0 0 2px var(--dream); }
.wmkit-scrub canvas { display: block; width: 100%; image-rendering: pixelated; }
.wmkit-scrub .action { position: absolute; inset: auto 0 0 0; display: flex; align-items: flex-end; justify-content: space-between; gap: 6px;
  padding: 26px 7px 7px; color: #fff; pointer-events: none; font-size: 11px; font-weight: 600; text-shadow: 0 1px 2px #000;
  background: linear-gradient(transparent, rgba(0, 0, 0, .62)); }
.wmkit-scrub .wasd { display: grid; grid-template-columns: repeat(3, 19px); gap: 3px; flex: none; }
.wmkit-scrub .key, .wmkit-scrub .chip { border-radius: 4px; background: rgba(20, 22, 28, .55); border: 1px solid rgba(255, 255, 255, .3); color: rgba(255, 255, 255, .6); text-align: center; }
.wmkit-scrub .key { height: 19px; line-height: 17px; }
.wmkit-scrub .key.lit, .wmkit-scrub .chip.lit { background: #ffd24a; border-color: #ffd24a; color: #1c1500; text-shadow: none; }
.wmkit-scrub .chips { display: flex; flex-wrap: wrap-reverse; justify-content: center; gap: 3px; flex: 1 1 0; min-width: 0; }
.wmkit-scrub .chip { padding: 0 6px; line-height: 16px; }
.wmkit-scrub .lots .chip:not(.lit):not(.dial) { display: none; }
.wmkit-scrub .chip.dial { background: rgba(20, 22, 28, .72); color: #fff; overflow: hidden; max-width: 100%; text-overflow: ellipsis; white-space: nowrap; }
.wmkit-scrub .meters { display: flex; flex-wrap: wrap; justify-content: center; gap: 2px; flex: 1 1 0; min-width: 0; max-height: 92px; overflow: hidden; }
.wmkit-scrub .meter { width: 7px; height: 28px; border-radius: 2px; background: rgba(20, 22, 28, .72); border: 1px solid rgba(255, 255, 255, .3); }
.wmkit-scrub .look { display: flex; flex-direction: column; align-items: flex-end; gap: 4px; flex: none; text-align: right; line-height: 1.25; }
.wmkit-scrub .look svg { display: block; width: 44px; height: 44px; }
@container (max-width: 215px) { .wmkit-scrub .words, .wmkit-scrub .chip:not(.lit):not(.dial) { display: none; } }
.wmkit-scrub .bar { display: flex; flex-wrap: wrap; align-items: center; gap: 3px; margin: 9px 0 7px; }
.wmkit-scrub button { all: unset; box-sizing: border-box; width: 28px; height: 26px; display: grid; place-items: center; border-radius: 6px; cursor: pointer; color: var(--ink); }
.wmkit-scrub button:hover { background: var(--line); }
.wmkit-scrub button.on { color: var(--dream-ink); background: color-mix(in srgb, var(--dream) 16%, var(--paper)); }
.wmkit-scrub button.play { width: 34px; color: #fff; background: var(--dream); }
.wmkit-scrub button svg { width: 15px; height: 15px; fill: currentColor; display: block; }
.wmkit-scrub select { font: inherit; color: inherit; background: var(--fill); border: 1px solid var(--line); border-radius: 6px; height: 26px; margin-left: 4px; padding: 0 2px; }
.wmkit-scrub .count { margin-left: auto; padding-left: 12px; white-space: nowrap; }
.wmkit-scrub .count b { font-weight: 650; } .wmkit-scrub .count span { color: var(--soft); } .wmkit-scrub .count .ahead { color: var(--dream-ink); font-weight: 600; }
.wmkit-scrub .strip { position: relative; display: grid; grid-template-columns: max-content minmax(0, 1fr) max-content; column-gap: 9px; cursor: pointer; touch-action: none; user-select: none; }
.wmkit-scrub .name { display: flex; flex-direction: column; justify-content: center; min-width: 62px; max-width: 130px; font-size: 12px; line-height: 1.25; }
.wmkit-scrub .name span { color: var(--soft); overflow: hidden; text-overflow: ellipsis; white-space: nowrap; } .wmkit-scrub .name b { font-weight: 650; }
.wmkit-scrub .range { display: flex; flex-direction: column; justify-content: space-between; font-size: 10.5px; color: var(--soft); padding: 3px 0; }
.wmkit-scrub .plot { position: relative; height: 46px; border-top: 1px solid var(--line); }
.wmkit-scrub .plot svg { position: absolute; inset: 0; width: 100%; height: 100%; overflow: visible; }
.wmkit-scrub .plot path { fill: none; stroke: var(--ink); stroke-width: 1.6; stroke-linecap: round; stroke-linejoin: round; vector-effect: non-scaling-stroke; }
.wmkit-scrub .span { display: flex; height: 18px; border-radius: 5px 5px 0 0; overflow: hidden; font-size: 11px; font-weight: 600; line-height: 18px; color: #fff; }
.wmkit-scrub .span div { padding: 0 7px; overflow: hidden; white-space: nowrap; background: var(--context); } .wmkit-scrub .span .ahead { background: var(--dream); }
.wmkit-scrub .over { grid-column: 2 / 3; position: absolute; inset: 0; pointer-events: none; }
.wmkit-scrub .past { position: absolute; inset: 18px auto 15px 0; background: color-mix(in srgb, var(--context) 15%, transparent); }
.wmkit-scrub .border { position: absolute; inset: 0 auto 15px auto; width: 0; border-left: 2px dashed var(--dream); }
.wmkit-scrub .cursor { position: absolute; inset: -3px auto 12px auto; width: 2px; margin-left: -1px; background: #e8590c; border-radius: 1px; }
.wmkit-scrub .cursor::before { content: ""; position: absolute; left: -4px; top: -1px; width: 10px; height: 10px; border-radius: 50%; background: #e8590c; box-shadow: 0 0 0 2px var(--paper); }
.wmkit-scrub .axis { position: relative; height: 15px; border-top: 1px solid var(--line); font-size: 10.5px; color: var(--soft); }
.wmkit-scrub .axis span { position: absolute; transform: translateX(-50%); top: 1px; }
`;

const icons = {
  first: "M2 2h2v12H2zM14 2v12L5 8z", back: "M11 2v12L3 8zM12 2h2v12h-2z", play: "M3 1.5v13L14 8z", pause: "M3 2h4v12H3zM9 2h4v12H9z",
  next: "M5 2v12l8-6zM2 2h2v12H2z", loop: "M4 4h7V1.5L15 5l-4 3.5V6H4v3H2V6a2 2 0 0 1 2-2zM12 12H5v2.5L1 11l4-3.5V10h7V7h2v3a2 2 0 0 1-2 2z",
  keys: "M1 4h14v9H1zM3 6v1.5h1.5V6zM6 6v1.5h1.5V6zM9 6v1.5h1.5V6zM12 6v1.5h1.5V6zM4 9.5V11h8V9.5z",
};
const pairs = [["yaw", "pitch"], ["mouse_x", "mouse_y"]]; // sideways, up and down: drawn as one pad where both are there
const wasd = { forward: ["W", 2, 1], left: ["A", 1, 2], back: ["S", 2, 2], right: ["D", 3, 2] };

function make(tag, name, parent, text) {
  const node = document.createElement(tag);
  if (name) node.className = name;
  if (text !== undefined) node.textContent = text;
  if (parent) parent.append(node);
  return node;
}

const icon = name => `<svg viewBox="0 0 16 16"><path fill-rule="evenodd" d="${icons[name]}"/></svg>`;

function round(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 0.001 || size >= 1e5)) return value.toExponential(1);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3);
}

// Decoded pictures are kept, the oldest given back once they would fill about 300 MB.
function frameStore(bytes, layout) {
  const { offsets, count, width, height, mime } = layout, kept = new Map();
  const limit = Math.max(8 * layout.lanes.length, Math.floor(3e8 / (4 * width * height)));
  const drop = key => { kept.get(key).then(picture => picture.close()); kept.delete(key); };
  return {
    room: limit >= count * layout.lanes.length,
    get(lane, frame) {
      const key = lane * count + frame;
      if (!kept.has(key)) {
        const blob = new Blob([bytes.subarray(offsets[key], offsets[key + 1])], { type: mime });
        kept.set(key, createImageBitmap(blob));
        if (kept.size > limit) drop(kept.keys().next().value);
      }
      return kept.get(key);
    },
    close() { for (const key of [...kept.keys()]) drop(key); },
  };
}

// What a channel does at a frame, in words: a choice by its name, else its number.
const degrees = c => (c.unit || "").startsWith("deg") ? "°" : "";
function told(c, value) {
  if (c.kind === "choice" && value !== null) return `${c.name} ${(c.values || [])[value - c.low] ?? value}`;
  return `${c.name} ${round(value)}${degrees(c)}`;
}

// A bar from rest to a value within the channel's range, as a background.
function bar(c, value, way) {
  const low = c.low ?? 0, high = c.high ?? 1, share = v => 100 * (Math.max(low, Math.min(high, v)) - low) / (high - low);
  const [from, to] = [share(0), share(value ?? 0)].sort((x, y) => x - y);
  return `linear-gradient(to ${way}, transparent ${from}%, #8250df ${from}%, #8250df ${to}%, transparent ${to}%), rgba(20, 22, 28, .72)`;
}

// The action that led to the frame: movement keys, other buttons as chips, a choice's word, bars, the look as an arrow.
function actionOverlay(parent, channels, rows) {
  const box = make("div", "action", parent), lit = [], dials = [];
  const largest = column => Math.max(1e-9, ...rows.map(row => Math.abs(row[column] ?? 0)));
  const isButton = c => c.kind === "button", place = name => channels.findIndex(c => c.kind === "delta" && c.name === name);
  const pair = pairs.find(names => names.every(name => place(name) >= 0)) || [], isLook = c => pair.includes(c.name);
  const walks = channels.some(c => isButton(c) && c.name === "forward"), isKey = c => walks && isButton(c) && wasd[c.name];
  const sized = c => c.kind === "level" || c.kind === "delta", many = channels.filter(c => sized(c) && !isLook(c)).length > 6;
  if (walks) {
    const keys = make("div", "wasd", box);
    channels.forEach((c, column) => {
      if (!isKey(c)) return;
      const [letter, x, y] = wasd[c.name], key = make("div", "key", keys, letter);
      key.style.gridArea = `${y} / ${x}`; key.title = key.dataset.channel = c.name;
      lit.push([key, column]);
    });
  }
  const chips = make("div", "chips", box), meters = many ? make("div", "meters", box) : null;
  channels.forEach((c, column) => {
    if (isLook(c) || isKey(c)) return;
    const small = many && sized(c), kind = small ? "meter" : isButton(c) ? "chip" : "chip dial";
    const chip = make("div", kind, small ? meters : chips, small ? undefined : c.name);
    chip.dataset.channel = c.name;
    if (isButton(c)) lit.push([chip, column]); else dials.push([chip, c, column, small]);
  });
  if (chips.children.length > 6) chips.classList.add("lots"); // then only those that are pressed
  if (!chips.children.length) chips.remove(); // the bars have the whole width
  const [yaw, pitch] = pair.length ? pair.map(place) : [-1, -1];
  const look = pair.length ? make("div", "look", box) : null;
  const words = look && make("div", "words", look), pad = look && make("div", "", look);
  const reach = look && Math.max(largest(yaw), largest(pitch));

  function drawLook(row) {
    const say = column => column < 0 ? "" : `${channels[column].name} ${row[column] > 0 ? "+" : ""}${(row[column] ?? 0).toFixed(1)}${degrees(channels[column])}`;
    words.innerText = [say(yaw), say(pitch)].filter(Boolean).join("\n");
    const x = 20 + 16 * (row[yaw] ?? 0) / reach, y = 20 + 16 * (row[pitch] ?? 0) / reach, still = Math.hypot(x - 20, y - 20) < 1;
    const turn = Math.atan2(y - 20, x - 20), tip = side => `${x - 4.5 * Math.cos(turn + side * 0.7)},${y - 4.5 * Math.sin(turn + side * 0.7)}`;
    pad.innerHTML = `<svg viewBox="0 0 40 40"><circle cx="20" cy="20" r="19" fill="rgba(20,22,28,.55)" stroke="rgba(255,255,255,.3)"/>` +
      `<circle cx="20" cy="20" r="1.8" fill="#fffc"/>` + (still ? "" : `<path d="M20 20L${x} ${y}" stroke="#ffd24a" stroke-width="2.5"/>` +
      `<polygon points="${x},${y} ${tip(1)} ${tip(-1)}" fill="#ffd24a" stroke="#ffd24a" stroke-width="1.5" stroke-linejoin="round"/>`) + `</svg>`;
  }
  return {
    box,
    draw(frame) {
      const row = rows[frame], none = row.every(value => value === null);
      box.style.opacity = none ? 0.35 : 1;
      box.dataset.known = !none;
      for (const [node, column] of lit) node.classList.toggle("lit", row[column] > 0.5);
      for (const [node, c, column, small] of dials) {
        if (small) node.title = told(c, row[column]); else node.textContent = told(c, row[column]);
        if (sized(c)) node.style.background = bar(c, row[column], small ? "top" : "right");
      }
      if (look) drawLook(row);
    },
  };
}

// One metric as a path in units of frames (x) and share of its range (y); a missing value is a gap.
function metricPath(values) {
  const seen = values.filter(value => value !== null);
  const low = Math.min(...seen), high = Math.max(...seen), range = high - low || 1;
  let path = "", open = false;
  values.forEach((value, i) => {
    if (value === null) { open = false; return; }
    const y = (0.92 - 0.84 * (seen.length && high > low ? (value - low) / range : 0.5)).toFixed(4);
    path += open ? `L${i + 0.5} ${y}` : `M${i + 0.5} ${y}h0.001`;
    open = true;
  });
  return { path, low: seen.length ? low : null, high: seen.length ? high : null };
}

function drawStrip(parent, model, count, dreams) {
  const strip = make("div", "strip", parent), context = model.get("context"), share = frame => `${100 * frame / count}%`;
  make("div", "", strip);
  const span = make("div", "span", strip);
  make("div", "", strip);
  const part = (name, length, text) => { if (length > 0) { make("div", name, span, length > count / 8 ? text : "").style.width = share(length); } };
  if (dreams) { part("", context, "context"); part("ahead", count - context, "dream"); } else part("", count, "frames");
  const values = Object.entries(model.get("metrics")).map(([name, series]) => {
    const label = make("div", "name", strip), plot = make("div", "plot", strip), range = make("div", "range", strip);
    make("span", "", label, name).title = name;
    const { path, low, high } = metricPath(series), now = make("b", "", label);
    plot.dataset.metric = name;
    plot.innerHTML = `<svg viewBox="0 0 ${count} 1" preserveAspectRatio="none"><path d="${path}"/></svg>`;
    make("div", "", range, round(high)); make("div", "", range, round(low));
    return [now, series];
  });
  make("div", "", strip);
  const axis = make("div", "axis", strip);
  const step = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000].find(size => count / size <= 9) || 10000;
  for (let i = 0; i < count; i += step) make("span", "", axis, i).style.left = share(i + 0.5);
  const over = make("div", "over", strip); // its column of the grid is what the marks are placed in
  if (dreams && context > 0 && context < count) {
    make("div", "past", over).style.width = share(context);
    const border = make("div", "border", over);
    border.style.left = share(context); border.title = "the dream starts here";
  }
  const cursor = make("div", "cursor", over);
  return {
    strip,
    draw(frame) {
      cursor.style.left = share(frame + 0.5);
      for (const [now, series] of values) now.textContent = round(series[frame]);
    },
    frameAt(clientX) {
      const box = axis.getBoundingClientRect();
      return Math.floor((clientX - box.left) / box.width * count);
    },
  };
}

function render({ model, el }) {
  const layout = model.get("layout"), { count, lanes } = layout, context = model.get("context"), dreams = lanes.some(lane => lane.dream);
  const packed = model.get("frames"), bytes = new Uint8Array(packed.buffer, packed.byteOffset, packed.byteLength);
  const store = frameStore(bytes, layout), channels = model.get("channels");
  const clamp = value => Math.max(0, Math.min(count - 1, value));
  let frame = clamp(model.get("frame")), playing = false, from = 0, since = 0, alive = true;

  const root = make("div", "wmkit-scrub", null);
  root.tabIndex = 0;
  root.dataset.lmSuppressShortcuts = "true"; // JupyterLab must not take d, a or space for its own
  root.setAttribute("role", "application");
  root.setAttribute("aria-label", `frame scrubber ${model.get("title")}`);
  make("style", "", root, style);
  if (model.get("title")) make("div", "title", root, model.get("title"));

  const row = make("div", lanes.length > 4 ? "lanes many" : "lanes", root);
  const views = lanes.map(lane => {
    const box = make("div", "lane", row), head = make("div", "head", box), view = make("div", "view", box);
    box.style.width = `${Math.round(layout.width * model.get("scale"))}px`;
    make("span", "", head, lane.name);
    const canvas = make("canvas", "", view);
    canvas.width = layout.width; canvas.height = layout.height;
    return { box, view, pen: canvas.getContext("2d"), badge: lane.dream ? make("span", "badge", head) : null };
  });
  const overlay = channels.length ? actionOverlay(views[0].view, channels, model.get("actions")) : null;

  const bar = make("div", "bar", root);
  const button = (name, title, act) => {
    const node = make("button", name, bar);
    node.tabIndex = -1; node.title = title; node.innerHTML = icon(name); node.onclick = act;
    return node;
  };
  button("first", "to the first frame (Home)", () => seek(0));
  button("back", "one frame back (←)", () => seek(frame - 1));
  const playButton = button("play", "play or pause (space)", () => play(!playing));
  button("next", "one frame on (→)", () => seek(frame + 1));
  const loopButton = button("loop", "start again at the end (l)", toggleLoop);
  if (overlay) button("keys", "show the actions (k)", toggleKeys).classList.add("on");
  const speed = make("select", "", bar);
  speed.tabIndex = -1; speed.title = "frames per second";
  const pace = model.get("fps");
  for (const rate of [...new Set([1, 2, 4, 8, 15, 30, 60, pace])].sort((a, b) => a - b)) make("option", "", speed, `${rate} fps`).value = rate;
  speed.onchange = () => { model.set("fps", +speed.value); model.save_changes(); root.focus(); };
  const counter = make("div", "count", bar);
  const strip = drawStrip(root, model, count, dreams);
  el.append(root);

  async function draw() {
    const at = frame, ahead = at - context;
    root.dataset.frame = at;
    strip.draw(at);
    overlay?.draw(at);
    views.forEach(({ box, badge }) => {
      if (!badge) return;
      badge.textContent = ahead >= 0 ? "dream" : "context";
      box.classList.toggle("dreaming", ahead >= 0);
    });
    counter.innerHTML = `<b>frame ${at}</b> <span>/ ${count - 1} · ${(at / layout.fps).toFixed(2)} s</span>` +
      (dreams && ahead >= 0 ? ` <span class="ahead">· dream +${ahead + 1}</span>` : "");
    const pictures = await Promise.all(lanes.map((_, lane) => store.get(lane, at)));
    if (!alive || at !== frame) return;
    views.forEach(({ pen }, lane) => pen.drawImage(pictures[lane], 0, 0));
    root.dataset.shown = at;
  }

  function show(next) {
    frame = clamp(next);
    draw();
    model.set("frame", frame);
    model.save_changes();
  }

  function seek(next) { play(false); show(next); }

  function tick(now) {
    if (!playing || !alive) return;
    let next = from + Math.floor((now - since) / 1000 * model.get("fps"));
    if (next >= count && !model.get("loop")) { show(count - 1); play(false); return; }
    if (next >= count) { next = 0; from = 0; since = now; }
    if (next !== frame) show(next);
    requestAnimationFrame(tick);
  }

  function restart() { from = frame; since = performance.now(); }

  function play(on) {
    if (on === playing) return;
    playing = on;
    root.dataset.playing = playing;
    playButton.innerHTML = icon(playing ? "pause" : "play");
    if (!playing) return;
    if (frame === count - 1) show(0);
    restart();
    requestAnimationFrame(tick);
  }

  function toggleLoop() { model.set("loop", !model.get("loop")); model.save_changes(); }

  function toggleKeys() {
    const off = overlay.box.style.display !== "none";
    overlay.box.style.display = off ? "none" : "";
    bar.querySelector("button.keys").classList.toggle("on", !off);
  }

  const commands = {
    ArrowLeft: () => seek(frame - 1), ArrowRight: () => seek(frame + 1), Home: () => seek(0), End: () => seek(count - 1),
    " ": () => play(!playing), l: toggleLoop, k: () => overlay && toggleKeys(),
  };
  root.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    event.stopPropagation();
    if (event.target === speed || !commands[event.key]) return;
    event.preventDefault();
    commands[event.key]();
  });
  // buttons and pictures give the focus to the widget, so the keys work after any click
  root.addEventListener("mousedown", event => { if (event.target !== speed) { event.preventDefault(); root.focus({ preventScroll: true }); } });
  strip.strip.addEventListener("pointerdown", event => {
    strip.strip.setPointerCapture(event.pointerId);
    seek(strip.frameAt(event.clientX));
  });
  strip.strip.addEventListener("pointermove", event => { if (event.buttons & 1) seek(strip.frameAt(event.clientX)); });

  const heard = {
    "change:frame": () => { if (model.get("frame") !== frame) { frame = clamp(model.get("frame")); restart(); draw(); } },
    "change:loop": () => loopButton.classList.toggle("on", model.get("loop")),
    "change:fps": () => { speed.value = model.get("fps"); restart(); draw(); },
  };
  for (const [name, act] of Object.entries(heard)) model.on(name, act);
  heard["change:loop"]();
  speed.value = pace;
  root.dataset.playing = false;
  draw();
  (async () => { // decode ahead, so that the first play is as smooth as the second
    for (let at = 0; store.room && alive && at < count; at++) await Promise.all(lanes.map((_, lane) => store.get(lane, at)));
    if (alive) root.dataset.ready = true;
  })();

  return () => {
    alive = playing = false;
    for (const [name, act] of Object.entries(heard)) model.off(name, act);
    store.close();
  };
}

export default { render };
