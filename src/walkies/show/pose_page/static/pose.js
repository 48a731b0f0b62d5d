// Sliders, and a robot drawn by parallel projection on a 2-D canvas. Metres, radians, z upward from the ground; where
// everything is in a pose, the program says.
import { draw, turned } from "./drawing.js";

const find = (id) => document.getElementById(id);
const made = (tag, text = "", kind = "") => Object.assign(document.createElement(tag), { textContent: text, className: kind });
const socket = new WebSocket(`ws://${location.host}/pose`);
const view = { azimuth: -0.9, elevation: 0.3, zoom: 1, solid: true };
let hello = null, shown = null, angles = [], rows = [], saved = [], waiting = null;

// --- The program ----------------------------------------------------------------------------------------------------
const pose = () => Object.fromEntries(hello.joints.map((joint, i) => [joint.name, angles[i]]));
/** Ask for the newest pose once the last one is answered, so that no slider runs ahead. */
function ask(what = "show") {
  if (waiting !== null) {
    waiting = what === "save" || waiting === "save" ? "save" : "show";
    return;
  }
  waiting = "";
  socket.send(JSON.stringify({ [what]: pose() }));
}
function tell(lines) {
  find("said").textContent = lines.join("\n");
  find("said").hidden = !lines.length;
}
socket.addEventListener("message", (event) => {
  const message = JSON.parse(event.data), next = waiting;
  waiting = null;
  if (message.robot) begin(message);
  if (message.shown) show(message.shown);
  if (message.saved) {
    tell(message.saved);
    saved = [...angles];
  }
  if (message.refused) tell([message.refused]);
  if (next) ask(next);
});
socket.addEventListener("close", () => {
  find("status").textContent = "the program has ended";
  find("save").disabled = true;
});

// --- Joints ---------------------------------------------------------------------------------------------------------
const within = ({ lower, upper }, angle) => Math.min(upper, Math.max(lower, angle));
function set(i, angle, both = false) {
  const joint = hello.joints[i], other = joint.mirror;
  angles[i] = within(joint, angle);
  if (both && other !== i) angles[other] = within(hello.joints[other], hello.joints[other].turns * angles[i]);
}
function refresh(typing = -1) {
  rows.forEach(([slider, number], i) => {
    slider.value = String(angles[i]);
    if (i !== typing) number.value = String(Number(angles[i].toFixed(4)));
  });
  find("text").value = JSON.stringify(pose(), null, 1);
  tell([]);
  ask();
}
function row(joint, i) {
  const line = made("div", "", "joint"), name = made("label", joint.name.replaceAll("_", " "));
  const [slider, number] = ["range", "number"].map((type) => Object.assign(document.createElement("input"), {
    type, min: joint.lower, max: joint.upper, step: "any", name: joint.name,
  }));
  slider.id = name.htmlFor = `joint-${i}`;
  number.setAttribute("aria-label", `${joint.name}, rad`);
  const need = made("output");
  for (const input of [slider, number])
    input.addEventListener("input", () => {
      const angle = input.valueAsNumber;
      if (!Number.isFinite(angle)) return;
      set(i, input === slider ? Number(angle.toFixed(4)) : angle, find("mirror").checked);
      refresh(input === number ? i : -1);
    });
  number.addEventListener("change", () => refresh());
  line.append(name, number, slider, need);
  rows[i] = [slider, number, need];
  return line;
}

// --- The page -------------------------------------------------------------------------------------------------------
function begin(message) {
  hello = message;
  document.title = `walkies: ${hello.robot}`;
  find("robot").textContent = `${hello.robot}, ${hello.kind}`;
  find("status").textContent = hello.instead ? "comes with walkies: shown, not changed" : "";
  angles = hello.joints.map((joint) => joint.pose);
  saved = [...angles];
  for (const [name, joints] of hello.groups) {
    const group = made("fieldset");
    group.append(made("legend", name), ...joints.map((i) => row(hello.joints[i], i)));
    find("joints").append(group);
  }
  const mirrored = hello.joints.some((joint, i) => joint.mirror !== i);
  find("mirror").checked = mirrored;
  find("mirror").parentElement.hidden = !mirrored;
  for (const [role, colour] of Object.entries(hello.colours)) {
    const entry = made("span"), dot = made("i");
    dot.style.background = colour;
    entry.append(dot, role);
    find("legend").append(entry);
  }
  find("save").disabled = false;
  refresh();
}
function show(message) {
  shown = message;
  find("facts").replaceChildren(...shown.facts.flatMap(([name, value, well]) =>
    [made("dt", name), made("dd", value, well ? "" : "bad")]));
  shown.loads.forEach(([text, well], i) => {
    rows[i][2].textContent = text;
    rows[i][2].className = well ? "" : "bad";
  });
  paint();
}
const paint = () => shown && draw(find("view"), hello, shown, view);
find("save").addEventListener("click", () => ask("save"));
find("reset").addEventListener("click", () => {
  angles = [...saved];
  refresh();
});
find("solid").addEventListener("change", (event) => {
  view.solid = event.target.checked;
  paint();
});
find("text").addEventListener("change", (event) => {
  let pasted = null;
  try {
    pasted = JSON.parse(event.target.value);
  } catch {
    // not JSON: said below
  }
  const good = pasted && hello.joints.every(({ name }) => typeof pasted[name] === "number");
  if (good) hello.joints.forEach(({ name }, i) => set(i, pasted[name]));
  refresh();
  if (!good) tell(["What was pasted is no pose of this robot: expected a number for each joint, as above."]);
});
find("view").addEventListener("pointerdown", (event) => event.target.setPointerCapture(event.pointerId));
find("view").addEventListener("pointermove", (event) => {
  if (!event.target.hasPointerCapture(event.pointerId)) return;
  turned(view, event.movementX, event.movementY);
  paint();
});
find("view").addEventListener("wheel", (event) => {
  event.preventDefault();
  view.zoom = Math.min(8, Math.max(0.2, view.zoom * Math.exp(-0.001 * event.deltaY)));
  paint();
}, { passive: false });
window.addEventListener("resize", paint);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
