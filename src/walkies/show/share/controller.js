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

const times = ([aw, ax, ay, az], [bw, bx, by, bz]) => [
  aw * bw - ax * bx - ay * by - az * bz, aw * bx + ax * bw + ay * bz - az * by,
  aw * by - ax * bz + ay * bw + az * bx, aw * bz + ax * by - ay * bx + az * bw,
];

/** A recorded movement cut into clips (walkies.tasks.motion.movement), and where it is. */
function makeMovement({ fps, clips, joint_pos, joint_vel, anchor_quat_wxyz, most_queued, instant }) {
  const [angles, speeds, anchors] = [joint_pos, joint_vel, anchor_quat_wxyz].map((table) => numbers(table, Float64Array));
  const frames = anchors.length / 4, joints = angles.length / frames;
  const anchorOf = (frame) => anchors.subarray(4 * frame, 4 * frame + 4);
  const now = { clip: 0, since: 0, queue: [], held: false, turn: null, frame: 0 };

  /** The frame that is shown `seconds` after the end of the fade-in (negative: before it). */
  function at(seconds) {
    if (seconds < 0) return clips[now.clip].start;
    for (;;) {
      const { start, end, following } = clips[now.clip];
      const length = (end - start - 1) / fps, played = seconds - now.since;
      if (played < length - instant) return start + Math.floor(played * fps + instant);
      const next = now.queue.length ? now.queue.shift() : following;
      if (next === null) { now.held = true; return end - 1; }
      Object.assign(now, { clip: next, since: now.held ? seconds : now.since + length, held: false });
    }
  }

  return {
    now,
    names: clips.map(({ name }) => name),
    begin: () => Object.assign(now, { clip: 0, since: 0, queue: [], held: false, turn: null, frame: 0 }),

    /** Ask for a clip, which begins when the present one has ended. */
    request(clip) { if (now.queue.length < most_queued) now.queue.push(clip); },

    show(seconds, orientation) {
      now.frame = at(seconds);
      now.turn ??= yawOf(orientation) - yawOf(anchors);
    },

    command: () => [angles, speeds].flatMap((table) => [...table.subarray(now.frame * joints, (now.frame + 1) * joints)]),

    /** Of the base, w x y z, in the frame that is shown. */
    orientation: () => times([Math.cos(now.turn / 2), 0, 0, Math.sin(now.turn / 2)], anchorOf(now.frame)),

    /** Two columns of the rotation of that orientation as the robot sees it, row by row. */
    anchor(robot) {
      const [w, x, y, z] = times([robot[0], -robot[1], -robot[2], -robot[3]], this.orientation());
      return [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * y + w * z), 1 - 2 * (x * x + z * z),
        2 * (x * z - w * y), 2 * (y * z + w * x),
      ];
    },
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
  const movement = policy.movement && makeMovement(policy.movement);
  const applied = new Float32Array(pose.length), targets = new Float64Array(pose.length);
  let actions = 0, tell = null;

  function begin() {
    for (let i = 0; i < history.length; i++) history[i] = initial[i % size];
    applied.fill(0);
    actions = 0;
    tell = makeCommand(policy);
    movement?.begin();
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
    motion_command: () => movement.command(),
    motion_anchor: (sensed) => movement.anchor(sensed.orientation),
  };

  /**
   * One action: joint targets, rad (the same array every time).
   * sensed: { gyro (3) rad/s, orientation w x y z, joint_position rad, joint_velocity rad/s }; command: m/s, m/s, rad/s.
   */
  function act(sensed, command) {
    const seconds = actions * policy.control_dt;
    const told = tell(command, yawOf(sensed.orientation));
    movement?.show(seconds - policy.fade_in, sensed.orientation);
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
  return { begin, act, applied, movement, observation: history };
}
