// What a person does with keys, joysticks and gamepad, as one velocity command.

const KEYS = {
  KeyW: [1, 0, 0], ArrowUp: [1, 0, 0], KeyS: [-1, 0, 0], ArrowDown: [-1, 0, 0],
  KeyA: [0, 1, 0], KeyD: [0, -1, 0],
  KeyQ: [0, 0, 1], ArrowLeft: [0, 0, 1], KeyE: [0, 0, -1], ArrowRight: [0, 0, -1],
};
const DEAD_ZONE = 0.15;
const INTERVAL = 50; // ms between commands while driving (link.js repeats them where this page is held up)

/**
 * Listen to every input and publish commands.
 * publish: called with [forward, left, turn], each within ±1, while driving, and once with zeros at the end.
 * actions: functions by key code (Space, KeyR, KeyP), called once per press.
 * Returns a function that makes another window's keys drive as well: the embedded view's.
 */
export function listen(publish, actions) {
  const held = new Set();
  const sticks = { move: [0, 0], turn: [0, 0] };
  let driving = false;

  function sum() {
    const total = [0, 0, 0];
    for (const code of held) KEYS[code].forEach((value, i) => { total[i] += value; });
    total[0] -= sticks.move[1];
    total[1] -= sticks.move[0];
    total[2] -= sticks.turn[0];
    gamepad().forEach((value, i) => { total[i] += value; });
    return total.map((value) => Math.min(1, Math.max(-1, value)));
  }

  function update() {
    const command = sum();
    const moving = command.some((value) => value !== 0);
    if (moving || driving) publish(command);
    driving = moving;
  }

  function keydown(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || busy(event)) return;
    if (event.code in KEYS) {
      // Before anyone else sees it: viser would move its camera.
      event.preventDefault();
      event.stopImmediatePropagation();
      if (!held.has(event.code)) { held.add(event.code); update(); }
    } else if (event.code in actions) {
      event.preventDefault();
      event.stopImmediatePropagation();
      if (!event.repeat) actions[event.code]();
    }
  }
  function keyup(event) {
    if (held.delete(event.code)) update();
  }
  function release() {
    held.clear();
    update();
  }
  function attach(target) {
    target.addEventListener("keydown", keydown, true);
    target.addEventListener("keyup", keyup, true);
    // Focus that only went from the page into its view is still here.
    target.addEventListener("blur", () => setTimeout(() => { if (!document.hasFocus()) release(); }, 0));
  }

  attach(window);
  document.addEventListener("visibilitychange", () => { if (document.hidden) release(); });
  stick(document.getElementById("move"), sticks.move, update);
  stick(document.getElementById("turn"), sticks.turn, update);
  setInterval(update, INTERVAL);
  return attach;
}

/** From shares of full speed, each within ±1, to m/s and rad/s; range: [lowest, highest] of each. */
export function scaled(shares, range) {
  return range.map(([low, high], i) => (shares[i] < 0 ? -shares[i] * low : shares[i] * high));
}

/** Whether a key belongs to a control: letters to a text field, arrows to a slider that was reached by keyboard. */
function busy({ target, code }) {
  if (!(target instanceof HTMLElement)) return false;
  return target.matches("textarea, input[type=text], select")
    || (code.startsWith("Arrow") && target.matches("input[type=range]:focus-visible"));
}

/** An on-screen joystick: `value` becomes [x, y] within ±1, right and down positive. */
function stick(pad, value, changed) {
  const knob = pad.firstElementChild;
  function place(x, y) {
    [value[0], value[1]] = [x, y].map((part) => (Math.abs(part) < DEAD_ZONE ? 0 : part));
    const flat = pad.clientHeight < pad.clientWidth;
    knob.style.transform = `translate(${x * (pad.clientWidth / 2 - 18)}px, ${flat ? 0 : y * (pad.clientHeight / 2 - 18)}px)`;
    changed();
  }
  function follow(event) {
    if (!pad.hasPointerCapture(event.pointerId)) return;
    const box = pad.getBoundingClientRect();
    let x = (event.clientX - box.left - box.width / 2) / (box.width / 2);
    let y = (event.clientY - box.top - box.height / 2) / (box.height / 2);
    const length = Math.max(1, pad.clientHeight < pad.clientWidth ? Math.abs(x) : Math.hypot(x, y));
    place(x / length, y / length);
  }
  pad.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    pad.setPointerCapture(event.pointerId);
    follow(event);
  });
  pad.addEventListener("pointermove", follow);
  for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) pad.addEventListener(end, () => place(0, 0));
}

/** Left stick walks, right stick turns, as the robot's own joystick does. */
function gamepad() {
  const pad = [...(navigator.getGamepads?.() ?? [])].find((one) => one?.connected && one.axes.length >= 2);
  if (!pad) return [0, 0, 0];
  const axis = (i) => (Math.abs(pad.axes[i] ?? 0) < DEAD_ZONE ? 0 : pad.axes[i]);
  return [-axis(1), -axis(0), -axis(2)];
}
