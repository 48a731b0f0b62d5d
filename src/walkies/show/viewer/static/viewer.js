// The page around viser's 3-D view: its controls and its plots.
import { listen, scaled } from "./drive.js";
import * as plots from "./plots.js";

const SPAN = 8; // s shown by the rolling plots
const $ = (id) => document.getElementById(id);
let about = null, rows = [], history = [], attach = null, drawn = null;
const sent = new Map(); // time of each command by its number, for the response time
let number = Math.floor(2 ** 40 * Math.random()); // answers go to every page: each knows its own
let response = null, frames = 0, rate = null;
const picked = {}; // what was picked last, by its name, and until when that counts more than what the program says

const link = new Worker("link.js"); // holds the socket
const say = (message) => link.postMessage(message);

link.onmessage = ({ data: message }) => {
  if (message.kind) begin(message);
  if (message.heard !== undefined) heard(message.heard);
  if (message.rows) { keep(message.rows); redraw(); }
  if (message.record) { history.push(message.record); redraw(); }
  if (message.state) show(message.state);
  if (message.closed) {
    $("status").textContent = "the program has ended";
    document.body.dataset.connected = "no";
  }
};

/** What the program says first. */
function begin(hello) {
  if (about !== null) { location.reload(); return; } // the program was started anew, perhaps with another run
  about = hello;
  [rows, history] = [[], hello.records ?? []];
  document.body.dataset.kind = hello.kind;
  document.body.dataset.connected = "yes";
  $("about").textContent = hello.title;
  document.title = `walkies · ${hello.title}`;
  $("status").textContent = "";
  // Where drawing in 3-D is too much for a machine, …/?view=off leaves the controls and the plots.
  if (new URLSearchParams(location.search).get("view") !== "off") embed();
  if (hello.kind === "play") controls();
  else curves();
  redraw();
}

/** Pick a value. */
function pick(name, value) {
  picked[name] = { value, until: performance.now() + 1000 };
  say({ [name]: value });
}

/** The value of a state; one that was on its way when a value was picked still has the old one. */
const settled = (state, name) => (performance.now() < (picked[name]?.until ?? 0) ? picked[name].value : state[name]);

/** The 3-D view; its keys drive, and nothing of viser but the picture is seen. */
function embed() {
  const view = $("view"), dark = matchMedia("(prefers-color-scheme: dark)");
  view.addEventListener("load", () => {
    const inside = view.contentWindow;
    const style = inside.document.createElement("style");
    style.textContent = "body * { visibility: hidden } canvas { visibility: visible }";
    inside.document.head.append(style);
    attach?.(inside);
    const count = () => { frames++; inside.requestAnimationFrame(count); };
    inside.requestAnimationFrame(count);
  });
  const plain = software();
  say({ hardware: !plain });
  const load = () => { view.src = `/view/?hideViserLogo${dark.matches ? "&darkMode" : ""}${plain ? "&fixedDpr=0.5" : ""}`; };
  dark.addEventListener("change", load);
  load();
  setInterval(() => { [rate, frames] = [frames, 0]; status(); }, 1000);
}

/** Whether this browser draws 3-D without a graphics card: then coarser, fewer pictures, no shadows. */
function software() {
  const gl = document.createElement("canvas").getContext("webgl");
  const names = gl?.getExtension("WEBGL_debug_renderer_info");
  return !names || /swiftshader|llvmpipe|software|basic render/i.test(gl.getParameter(names.UNMASKED_RENDERER_WEBGL));
}

function controls() {
  attach = listen(publish, {
    Space: () => push(), KeyR: () => say({ reset: true }), KeyP: () => $("pause").click(),
    ...Object.fromEntries([...Array(9).keys()].map((i) => [`Digit${i + 1}`, () => $("clips").children[i]?.click()])),
  });
  $("reference").onchange = () => pick("reference", $("reference").checked);
  $("pause").onclick = () => say({ paused: !about.state.paused });
  $("reset").onclick = () => say({ reset: true });
  $("push").onclick = () => push();
  $("stop").onclick = () => say({ stop: true });
  for (const speed of about.speeds) {
    const label = append($("speeds"), "label", "");
    const input = append(label, "input", "");
    Object.assign(input, { type: "radio", name: "speed", value: speed, onchange: () => pick("speed", speed) });
    label.append(speed === 1 ? "1 ×" : `${speed} ×`);
  }
  for (const slider of about.sliders) {
    const label = append($("world"), "label", `${slider.label} `);
    const output = append(label, "output", "");
    const input = append(label, "input", "");
    Object.assign(input, { type: "range", min: slider.low, max: slider.high, step: slider.step, id: slider.name });
    input.value = slider.value;
    const tell = () => { output.textContent = `${Number(input.value)} ${slider.unit}`.trim(); };
    tell();
    input.oninput = () => { tell(); say({ set: { [slider.name]: Number(input.value) } }); };
    input.tell = tell;
  }
  legend($("torque"), about.joints);
  const stages = $("stages"), choice = stages.querySelector("input");
  stages.hidden = about.stages.length < 2;
  choice.max = about.stages.length - 1;
  choice.value = about.state.stage;
  choice.oninput = () => say({ stage: Number(choice.value) });
  $("share").oninput = () => { $("share-value").textContent = `${$("share").value} %`; };
  // A slider keeps the focus, and so the arrow keys, only for one who works it with the keyboard.
  document.addEventListener("change", ({ target }) => { if (!target.matches(":focus-visible")) target.blur(); });
  document.addEventListener("click", (event) => { if (event.target instanceof HTMLButtonElement) event.target.blur(); });
}

/** The colours of a plot's lines, by name, beside its title. */
function legend(canvas, names) {
  const caption = canvas.parentElement.querySelector("figcaption");
  names.forEach((name, i) => {
    const word = append(caption, "small", ` ${name}`);
    const mark = document.createElement("i");
    mark.style.background = about.colours[i % about.colours.length];
    word.prepend(mark);
  });
}

function curves() {
  for (const { name, title, unit } of about.curves) {
    const figure = append($("curves"), "figure", "");
    const caption = append(figure, "figcaption", `${title} `);
    append(caption, "small", unit);
    append(figure, "canvas", "").id = `curve-${name}`;
  }
}

function append(parent, tag, text) {
  const element = document.createElement(tag);
  element.textContent = text;
  parent.append(element);
  return element;
}

/** From shares of full speed to m/s and rad/s. */
function publish(shares) {
  if (!about.state.steered) return;
  const share = Number($("share").value) / 100;
  const command = scaled(shares, Object.values(about.range)).map((value) => share * value);
  number += 1;
  sent.set(number, performance.now());
  say({ command, id: number });
}

function heard(id) {
  if (!sent.has(id)) return; // another page drives
  const passed = performance.now() - sent.get(id);
  response = response === null ? passed : 0.8 * response + 0.2 * passed;
  for (const old of sent.keys()) if (old <= id) sent.delete(old);
}

/** A push from a random side. */
function push() {
  const angle = 2 * Math.PI * Math.random();
  say({ push: [0.6 * Math.cos(angle), 0.6 * Math.sin(angle)] });
}

/** What changes now and then. */
function show(state) {
  about.state = state;
  if (about.kind === "play") {
    $("pause").textContent = state.paused ? "Go on" : "Pause";
    const speed = settled(state, "speed");
    for (const input of $("speeds").querySelectorAll("input")) input.checked = Number(input.value) === speed;
    follow(state);
    for (const [name, value] of Object.entries(state.settings)) {
      const input = $(name);
      if (input && !input.matches(":active, :focus")) { input.value = value; input.tell(); }
    }
    const choice = $("stages").querySelector("input");
    if (!choice.matches(":active, :focus")) choice.value = state.stage;
    $("stages").querySelector("output").textContent = about.stages[state.stage];
    const notice = state.notice || (state.stopped ? "Emergency stop. R stands it up again." : state.fallen ? "It fell. R stands it up again." : state.paused ? "Paused" : "");
    $("notice").textContent = notice;
    $("notice").hidden = !notice;
  }
  status();
}

/** What the policy is told and follows: its clips, whether it can be steered, and its reference. */
function follow(state) {
  const clips = $("clips");
  if (clips.dataset.names !== JSON.stringify(state.clips)) {
    clips.dataset.names = JSON.stringify(state.clips);
    clips.replaceChildren();
    state.clips.forEach((name, i) => {
      const button = append(clips, "button", "");
      button.type = "button";
      button.onclick = () => say({ clip: name });
      if (i < 9) append(button, "kbd", i + 1);
      button.append(` ${name}`);
    });
    clips.hidden = !state.clips.length;
  }
  state.clips.forEach((name, i) => {
    clips.children[i].setAttribute("aria-pressed", name === state.clip);
    clips.children[i].classList.toggle("queued", state.queue.includes(name));
  });
  for (const name of ["move", "turn", "keys", "driving"]) $(name).hidden = !state.steered;
  $("unsteered").hidden = state.steered;
  $("seen").hidden = state.reference === null;
  $("reference").checked = settled(state, "reference") === true;
}

function status() {
  if (!about || document.body.dataset.connected !== "yes") return;
  const parts = [];
  if (about.state?.text) parts.push(about.state.text);
  if (about.state?.pace !== undefined) parts.push(`real time × ${about.state.pace.toFixed(2)}`);
  if (rate !== null) parts.push(`${rate} pictures/s`);
  if (response !== null) parts.push(`response ${response.toFixed(0)} ms`);
  $("status").textContent = parts.join(" · ");
  Object.assign(document.body.dataset, { rate: rate ?? "", response: response === null ? "" : response.toFixed(1) });
}

/** Add rows, and forget what the plots no longer show; a hidden page only does this. */
function keep(more) {
  rows.push(...more);
  const end = rows.length ? rows.at(-1).t : 0;
  while (rows.length && rows[0].t < end - SPAN) rows.shift();
}

/** Draw before the next picture: once, however many messages have come meanwhile. */
function redraw() {
  if (drawn === null) drawn = requestAnimationFrame(() => { drawn = null; draw(); });
}

function draw() {
  if (about.kind === "learn") {
    about.curves.forEach(({ name }, i) => plots.curve($(`curve-${name}`), history, name, about.colours[i % about.colours.length]));
    return;
  }
  const full = Object.values(about.range).map(([low, high]) => Math.max(-low, high));
  plots.velocity($("velocity"), rows, SPAN, full, about.colours);
  $("stances").hidden = !rows.at(-1)?.stance;
  plots.gait($("gait"), rows, SPAN / 4, about.legs, about.colours);
  plots.torque($("torque"), rows, SPAN / 4, about.legs, about.torque_limit, about.colours);
  plots.reward($("reward"), rows, about.terms, about.colours);
}
