// A robot that is driven in this very page: policy, physics and picture, in real time.
import { gravityOf, makeController, yawOf } from "./controller.js";
import { listen, scaled } from "./drive.js";
import { makeEngine, numbers } from "./engine.js";
import { makePicture, multiply } from "./webgl.js";

const LATE = 0.1; // s of simulated time made up for at most, where the device could not keep up
const LIES = 1.5; // s that a fallen robot lies there before it stands up again
const $ = (id) => document.getElementById(id);

/** A robot with its policy on level ground; content: what `walkies.show.share.content` writes. */
async function makeRobot(content) {
  const engine = await makeEngine(content.robot, content.wasm), controller = makeController(content.policy);
  const before = new Float32Array(engine.qpos.length), shown = new Float32Array(engine.qpos.length);
  const dt = engine.dt, { movement } = controller, { tilt, torso, far } = content.falls;
  const heights = content.falls.heights && numbers(content.falls.heights, Float64Array);
  let fallen = false;

  /** Stand up, where it is and as it looks. */
  function stand() {
    const start = [...content.start], [x, y] = engine.qpos, half = yawOf(engine.qpos.subarray(3, 7)) / 2;
    if (Number.isFinite(x + y + half)) [start[0], start[1], start[3], start[6]] = [x, y, Math.cos(half), Math.sin(half)];
    engine.rest(start);
    before.set(start);
    controller.begin();
    fallen = false;
  }

  /** One action of the policy, and the physics that goes with it; velocity: m/s that a push gives the base. */
  function advance(command, velocity) {
    before.set(engine.qpos);
    const sensed = {
      gyro: engine.qvel.subarray(3, 6), orientation: engine.qpos.subarray(3, 7),
      joint_position: engine.qpos.subarray(7), joint_velocity: engine.qvel.subarray(6),
    };
    engine.target.set(controller.act(sensed, command));
    const force = content.push.mass / dt;
    engine.push.set([force * velocity[0], force * velocity[1], 0]);
    if (!engine.step()) {
      engine.qpos.fill(NaN); // stands up where it was born
      stand();
    }
    const down = gravityOf(engine.qpos.subarray(3, 7)), wanted = movement ? gravityOf(movement.orientation()) : [0, 0, -1];
    const upright = down.reduce((sum, part, i) => sum + part * wanted[i], 0);
    const lost = heights && Math.abs(engine.qpos[2] - heights[movement.now.frame]) > far;
    const lies = lost || torso.some((i) => engine.distance[i] <= 0);
    fallen ||= lies || Math.acos(Math.min(Math.max(upright, -1), 1)) > tilt;
  }

  /** Matrices of the links between the last two states, `share` of the way to the newer one. */
  function place(share) {
    let dot = 0;
    for (let i = 3; i < 7; i++) dot += before[i] * engine.qpos[i];
    // q and −q are the same rotation: blend with the nearer of the two.
    const turned = (i) => (i >= 3 && i < 7 && dot < 0 ? -1 : 1);
    for (let i = 0; i < shown.length; i++) shown[i] = before[i] + share * (turned(i) * engine.qpos[i] - before[i]);
    const norm = Math.hypot(...shown.subarray(3, 7));
    for (let i = 3; i < 7; i++) shown[i] /= norm;
    engine.place(shown);
    return engine.matrices;
  }

  stand();
  return { engine, controller, dt, shown, stand, advance, place, get fallen() { return fallen; } };
}

/** The sliders of the world; `moved` is told the name and the value of each, also at first. */
function makeSliders(content, engine, moved) {
  for (const slider of content.sliders) {
    const label = document.createElement("label"), output = document.createElement("output");
    const input = Object.assign(document.createElement("input"), {
      type: "range", min: 0, max: slider.values.length - 1, step: 1, value: slider.usual, id: slider.name,
    });
    const tell = () => {
      const value = slider.values[Number(input.value)];
      output.textContent = `${value} ${slider.unit}`.trim();
      moved(slider.name, value);
    };
    input.oninput = () => { engine.change(slider, Number(input.value)); tell(); };
    label.append(slider.label, output, input);
    $("world").append(label);
    tell();
  }
}

/** A button for each clip of the policy's movement, which asks for it; returns what shows which one plays. */
function makeClips(movement) {
  const clips = $("clips");
  movement.names.forEach((name, i) => {
    const button = Object.assign(document.createElement("button"), { type: "button", onclick: () => movement.request(i) });
    if (i < 9) button.append(Object.assign(document.createElement("kbd"), { textContent: i + 1 }));
    button.append(` ${name}`);
    clips.append(button);
  });
  clips.hidden = false;
  return () => [...clips.children].forEach((button, i) => {
    button.setAttribute("aria-pressed", i === movement.now.clip);
    button.classList.toggle("queued", movement.now.queue.includes(i));
  });
}

async function main() {
  const content = JSON.parse(document.querySelector(".content").textContent);
  const canvas = document.querySelector("canvas"), notice = $("notice");
  const robot = await makeRobot(content);
  const picture = makePicture(canvas, content.shapes, content.size, 200);
  if (!picture) throw new Error("This browser has no WebGL.");
  let command = [0, 0, 0], push = [0, 0], payload = 0, budget = 0, last = null, lain = 0;

  const kick = () => {
    const angle = 2 * Math.PI * Math.random();
    push = [content.push.speed * Math.cos(angle), content.push.speed * Math.sin(angle)];
  };
  const stand = () => { robot.stand(); lain = 0; };
  const { movement } = robot.controller, showClips = movement ? makeClips(movement) : () => {};
  const digits = [...Array(9).keys()].map((i) => [`Digit${i + 1}`, () => $("clips").children[i]?.click()]);
  listen((shares) => { command = scaled(shares, content.range); }, { Space: kick, KeyR: stand, ...Object.fromEntries(digits) });
  $("push").onclick = kick;
  $("reset").onclick = stand;
  makeSliders(content, robot.engine, (name, value) => { if (name === "payload") payload = value; });
  // A slider or button keeps the focus, and so the keys, only for one who works it with the keyboard.
  for (const event of ["change", "click"])
    document.addEventListener(event, ({ target }) => { if (!target.matches(":focus-visible")) target.blur?.(); });

  /** The load's matrix: a cube on the base. */
  function load(base) {
    const side = content.load.side * Math.cbrt(payload), [x, y, z] = content.load.at;
    return multiply([...base], [side, 0, 0, 0, 0, side, 0, 0, 0, 0, side, 0, x, y, z, 1]);
  }

  function tick(now) {
    const passed = last === null ? 0 : Math.min((now - last) / 1000, LATE);
    last = now;
    for (budget = Math.min(budget + passed, LATE); budget >= robot.dt; budget -= robot.dt) {
      robot.advance(command, push);
      push = [0, 0];
    }
    lain = robot.fallen ? lain + passed : 0;
    if (lain > LIES) stand();
    const matrices = robot.place(budget / robot.dt), links = content.robot.joints + 1;
    picture.follow(robot.shown.subarray(0, 3), passed);
    picture.render((body) => (body < links ? matrices.subarray(16 * body, 16 * body + 16) : load(matrices.subarray(0, 16))));
    showClips();
    notice.textContent = robot.fallen ? "It fell, and stands up again." : "";
    notice.hidden = !notice.textContent;
    canvas.dataset.place = [...robot.engine.qpos.subarray(0, 3)].map((value) => value.toFixed(4)).join(" ");
    requestAnimationFrame(tick);
  }
  requestAnimationFrame(tick);
}

main().catch((error) => {
  $("notice").hidden = false;
  $("notice").textContent = `This page does not run here: ${error.message}`;
});
