// The idealized control protocol (walkies.deploy.controllers.generic), with what a policy's file says about commands and
// references (walkies.deploy.blocks). Numbers are float32 where the robot's are.
import { makeNetwork } from "./network.js";
import { numbers } from "./engine.js";

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
/** Unit gravity in the body frame of an orientation w x y z. */
export const gravityOf = ([w, x, y, z]) => [2 * (w * y - x * z), -2 * (y * z + w * x), 2 * (x * x + y * y) - 1];
export const yawOf = ([w, x, y, z]) => Math.atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z));

/** The command that the policy is told: clipped, capped, and its heading held. */
function makeCommand({ command_clip, speed_cap, heading_hold }) {
  let held = false, target = 0;
  return (command, yaw) => {
    const told = command.map((value, i) => clamp(value, ...command_clip[i]));
    for (const i of [0, 1]) told[i] = clamp(told[i], -speed_cap, speed_cap);
    if (heading_hold === null) return told;
    const { kp, clip, yaw_threshold, walk_threshold } = heading_hold;
    const holds = Math.hypot(told[0], told[1]) > walk_threshold && Math.abs(told[2]) < yaw_threshold;
    if (holds && !held) target = yaw;
    held = holds;
    const error = Math.atan2(Math.sin(target - yaw), Math.cos(target - yaw));
    if (held) told[2] = clamp(kp * error, -clip, clip);
    return told;
  };
}

/** A reference gait (walkies.tasks.gait.reference): joint angles minus the default pose. */
function makeGait(gait, pose) {
  const [trot, lift, gallop, back] = gait.tables.map((table) => numbers(table, Float64Array));
  return (seconds, command) => {
    const [forward, , yaw] = command;
    const gallops = Math.abs(forward) >= gait.gallop_speed, walks = Math.abs(forward) >= gait.dir_threshold;
    const cycles = seconds * gait.frequency * (gallops ? gait.gallop_freq_mult : 1), phase = cycles - Math.floor(cycles);
    const onward = (walks ? forward : yaw) >= 0;
    const table = gallops ? (onward ? gallop : back) : walks ? trot : lift;
    const rows = table.length / pose.length, place = (onward ? phase : -phase) * rows, row = Math.floor(place);
    const [first, second] = [row, row + 1].map((i) => (((i % rows) + rows) % rows) * pose.length);
    const share = place - row, size = clamp(Math.hypot(...command) / gait.blend_speed, 0, 1);
    return pose.map((angle, j) => size * ((1 - share) * table[first + j] + share * table[second + j] - angle));
  };
}

/**
 * A controller for one robot. policy: what `walkies.show.share.content.policy` writes.
 * Call `begin`, then `act` once per control step.
 */
export function makeController(policy) {
  const network = makeNetwork(policy.layers), pose = policy.default_pose;
  const history = new Float32Array(policy.frame.reduce((sum, part) => sum + part.size, 0) * policy.history);
  const initial = policy.frame.flatMap((part) => part.initial), size = initial.length;
  const gait = policy.gait_reference && makeGait(policy.gait_reference, pose);
  const applied = new Float32Array(pose.length), targets = new Float64Array(pose.length);
  let actions = 0, tell = null;

  function begin() {
    for (let i = 0; i < history.length; i++) history[i] = initial[i % size];
    applied.fill(0);
    actions = 0;
    tell = makeCommand(policy);
  }

  /** The signals of a frame by name, from what the sensors say. */
  const signals = {
    gyro: (sensed) => sensed.gyro,
    gravity: (sensed) => gravityOf(sensed.orientation),
    command: (sensed, told) => told,
    desired_up: () => [0, 0, 1],
    joint_position: (sensed) => pose.map((angle, j) => Math.fround(sensed.joint_position[j]) - Math.fround(angle)),
    joint_velocity: (sensed) => sensed.joint_velocity,
    last_action: () => applied,
    gait_reference: (sensed, told, seconds) => gait(seconds, told),
  };

  /**
   * One action: joint targets, rad (the same array every time).
   * sensed: { gyro (3) rad/s, orientation w x y z, joint_position rad, joint_velocity rad/s }; command: m/s, m/s, rad/s.
   */
  function act(sensed, command) {
    const seconds = actions * policy.control_dt;
    const told = tell(command, yawOf(sensed.orientation));
    const frame = policy.frame.flatMap(({ name }) => [...signals[name](sensed, told, seconds)]);
    history.copyWithin(size, 0); // newest first
    frame.forEach((value, i) => { history[i] = clamp(value, -policy.observation_clip, policy.observation_clip); });
    const action = network(history), finite = action.every(Number.isFinite);
    const fade = Math.fround(policy.fade_in ? Math.min(seconds / policy.fade_in, 1) : 1);
    for (let j = 0; j < applied.length; j++) {
      applied[j] = finite ? fade * action[j] : 0;
      targets[j] = clamp(pose[j] + policy.action_scale[j] * applied[j], policy.lower[j], policy.upper[j]);
    }
    actions += 1;
    return targets;
  }

  begin();
  return { begin, act, applied, observation: history };
}
