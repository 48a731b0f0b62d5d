// Plays a recorded motion; self-contained, one canvas per <section>.
import { makePicture, matrix } from "./webgl.js";

const section = document.currentScript.parentElement;
const scene = JSON.parse(section.querySelector(".scene").textContent);
const canvas = section.querySelector("canvas");
const [button, slider, clock, speed] = ["button", "input", "output", "select"].map((tag) => section.querySelector(tag));
const caption = section.querySelector(".command");
const picture = makePicture(canvas, scene.shapes, scene.size);
let time = 0, playing = true, last = null;

// --- Motion ---------------------------------------------------------------------------------------------------------
const packed = Uint8Array.from(atob(scene.poses), (c) => c.charCodeAt(0));
const poses = new DataView(packed.buffer);
const STRIDE = scene.bodies * 7;
const frames = packed.length / 2 / STRIDE;
const duration = (frames - 1) / scene.fps;

/** Position and quaternion of a body, between two recorded poses. */
function pose(body) {
  const exact = Math.min(Math.max(time * scene.fps, 0), frames - 1);
  const first = Math.floor(exact), second = Math.min(first + 1, frames - 1), share = exact - first;
  const at = (frame, i) => poses.getInt16(2 * (frame * STRIDE + body * 7 + i), true);
  let dot = 0;
  for (let i = 3; i < 7; i++) dot += at(first, i) * at(second, i);
  const position = [0, 1, 2].map((i) => scene.metres * (at(first, i) * (1 - share) + at(second, i) * share));
  // q and −q are the same rotation: blend with the nearer of the two.
  const sign = dot < 0 ? -1 : 1;
  const quaternion = [3, 4, 5, 6].map((i) => at(first, i) * (1 - share) + sign * at(second, i) * share);
  const norm = Math.hypot(...quaternion);
  return [position, quaternion.map((q) => q / norm)];
}

// --- Time -----------------------------------------------------------------------------------------------------------
function tick(now) {
  const passed = last === null ? 0 : Math.min((now - last) / 1000, 0.1);
  if (playing) time = (time + passed * Number(speed.value)) % (duration || 1);
  last = now;
  picture.follow(pose(1)[0], passed);
  picture.render((body) => matrix(pose(body)));
  caption.textContent = scene.commands[Math.min(Math.round(time * scene.fps), frames - 1)];
  clock.textContent = `${time.toFixed(1)} s`;
  slider.value = String(Math.round((1000 * time) / (duration || 1)));
  canvas.dataset.time = time.toFixed(3);
  requestAnimationFrame(tick);
}

if (picture) {
  button.addEventListener("click", () => {
    playing = !playing;
    button.textContent = playing ? "❚❚" : "▶";
  });
  slider.addEventListener("input", () => { time = (Number(slider.value) / 1000) * duration; });
  requestAnimationFrame(tick);
} else {
  caption.textContent = "This browser has no WebGL, so there is no replay.";
}
