// What the lecture's interactive pictures show: for each, its sliders, its axes, and a function from the sliders' values
// to curves, points and a sentence. Nothing here draws; docs/lecture/interactive.js does.

const line = (from, to, count, of) => {
  const points = [];
  for (let i = 0; i < count; i++) {
    const x = from + ((to - from) * i) / (count - 1);
    points.push([x, of(x)]);
  }
  return points;
};

// The standard normal distribution: density, and probability below x (Abramowitz and Stegun 1964, 7.1.26).
const density = (x) => Math.exp(-0.5 * x * x) / Math.sqrt(2 * Math.PI);
function below(x) {
  const t = 1 / (1 + 0.3275911 * Math.abs(x) * Math.SQRT1_2);
  const tail =
    t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429)))) * Math.exp(-0.5 * x * x);
  return x < 0 ? tail / 2 : 1 - tail / 2;
}

// The ball of walkies.envs.ball for some steps from rest at x, 0.5 m up: its places (x, z).
function bounce(x, bump, steps) {
  const wave = 2 * Math.PI;
  const stiffness = 2500, gravity = 9.81, dt = 0.005;
  let z = 0.5, vx = 0, vz = 0;
  const places = [[x, z]];
  for (let i = 0; i < steps; i++) {
    const push = stiffness * Math.max(bump * Math.cos(wave * x) - z, 0);
    vx += dt * push * bump * wave * Math.sin(wave * x);
    vz += dt * (push - gravity);
    x += dt * vx;
    z += dt * vz;
    places.push([x, z]);
  }
  return places;
}

// Advantages of an episode that ends after the last reward, with a value for each state but the end.
function advantages(rewards, values, gamma, lambda) {
  const found = new Array(rewards.length);
  let next = 0;
  for (let t = rewards.length - 1; t >= 0; t--) {
    const following = t + 1 < values.length ? values[t + 1] : 0;
    next = rewards[t] + gamma * following - values[t] + gamma * lambda * next;
    found[t] = next;
  }
  return found;
}

// A robot that costs 1 a step and gets 10 at its goal, and a critic that has learned half of that.
const EPISODE = {
  rewards: [-1, -1, -1, -1, -1, -1, -1, 10],
  values: [1, -1, 3, 2, 6, 4, 9, 7],
};

// What the clipped objective gives for a ratio, and its slope there.
function clipped(ratio, advantage, epsilon) {
  const kept = Math.min(Math.max(ratio, 1 - epsilon), 1 + epsilon);
  const free = ratio * advantage, held = kept * advantage;
  return { value: Math.min(free, held), slope: free <= held ? advantage : 0 };
}

// KL divergence of one normal distribution from another of the same width, whose mean lies `shift` away.
const divergence = (shift, sigma) => (shift * shift) / (2 * sigma * sigma);

// Mario's level (docs/lecture/level.py): what each place is worth to a player who jumps with some probability.
const FLAG = 7, PIT = 4;
function worth(jump, short, gamma) {
  const values = new Array(FLAG + 1).fill(0);
  const arrive = (place) => -1 + (place === FLAG ? 10 : place === PIT ? -5 : 0) + gamma * values[place];
  for (let place = FLAG - 1; place >= 0; place--) {
    if (place === PIT) continue;
    const near = arrive(place + 1), far = arrive(Math.min(place + 2, FLAG));
    values[place] = (1 - jump) * near + jump * (short * near + (1 - short) * far);
  }
  return values;
}

// One coin decides between two actions; mean and variance of ∇ log π(a) (r(a) − b) by the log-odds of the second.
function coin(chance, rewards, baseline) {
  const parts = [
    { p: 1 - chance, g: -chance * (rewards[0] - baseline) },
    { p: chance, g: (1 - chance) * (rewards[1] - baseline) },
  ];
  const mean = parts.reduce((sum, { p, g }) => sum + p * g, 0);
  return { mean, variance: parts.reduce((sum, { p, g }) => sum + p * (g - mean) ** 2, 0) };
}

// Cart-pole (walkies.envs.classic) under an agent that pushes to where the pole leans: the angle at each step until it
// falls, and a step of its equations from (x, speed, angle, spin).
const POLE_LIMIT = (12 * Math.PI) / 180, CART_LIMIT = 2.4;
function pushed([x, speed, angle, spin], push) {
  const mass = 1.1, moment = 0.05, half = 0.5, dt = 0.02;
  const sin = Math.sin(angle), cos = Math.cos(angle);
  const drive = (push + moment * spin * spin * sin) / mass;
  const angular = (9.8 * sin - cos * drive) / (half * (4 / 3 - (0.1 * cos * cos) / mass));
  const linear = drive - (moment * angular * cos) / mass;
  return [x + dt * speed, speed + dt * linear, angle + dt * spin, spin + dt * angular];
}
function balance(angle, weight, steps) {
  let state = [0, 0, angle, 0];
  const angles = [angle];
  for (let i = 0; i < steps; i++) {
    state = pushed(state, state[2] + weight * state[3] > 0 ? 10 : -10);
    if (Math.abs(state[2]) > POLE_LIMIT || Math.abs(state[0]) > CART_LIMIT) break;
    angles.push(state[2]);
  }
  return angles;
}

// What the objectives of REINFORCE, TRPO and PPO give for a ratio, less what they give for 1; and their slopes there.
function objectives(ratio, advantage, epsilon) {
  const { value, slope } = clipped(ratio, advantage, epsilon);
  return {
    score: { value: advantage * Math.log(ratio), slope: advantage / ratio },
    surrogate: { value: advantage * (ratio - 1), slope: advantage },
    clipped: { value: value - advantage, slope },
  };
}

// Rewards per second for a velocity error: exp(−e²/σ²) and the error itself, each by its weight.
const tracking = (error, width, weight, pull) => {
  const kernel = weight * Math.exp(-(error * error) / (width * width)), line = pull * error;
  return { kernel, line, sum: kernel + line };
};

// A puck that is pushed off at some speed slides v²/(2 μ g); its reward is minus the distance from a mark at 1 m.
const slides = (speed, friction) => -Math.abs((speed * speed) / (2 * friction * 9.81) - 1);
function slidesOnAverage(speed, low, high) {
  const floors = 50;
  let sum = 0;
  for (let i = 0; i < floors; i++) sum += slides(speed, low + ((high - low) * (i + 0.5)) / floors);
  return sum / floors;
}
const highest = (points) => points.reduce((a, b) => (b[1] > a[1] ? b : a));

const FIGURES = {
  balance: {
    title: "A pole, and an agent with a rule",
    x: { label: "step", range: [0, 200] },
    y: { label: "angle, rad", range: [-0.22, 0.22] },
    sliders: {
      weight: { label: "it pushes to the right if angle + w · speed of the angle > 0, w =", from: -0.2, to: 1, value: 0, step: 0.05 },
      start: { label: "angle at the start, rad", from: 0.01, to: 0.15, value: 0.05, step: 0.01 },
    },
    curves({ weight, start }) {
      const angles = balance(start, weight, 200), steps = angles.length - 1;
      return {
        curves: { "the pole": angles.map((a, t) => [t, a]), "it has fallen": [[0, POLE_LIMIT], [200, POLE_LIMIT]], "to the left": [[0, -POLE_LIMIT], [200, -POLE_LIMIT]] },
        points: [[steps, angles[steps]]],
        says: steps < 200 ? `The agent earns ${steps + 1}: then the pole has fallen, or the cart has left the track.` : "The agent earns 200, and the pole still stands.",
      };
    },
  },
  objectives: {
    title: "Three objectives of one sample",
    x: { label: "ratio ρ", range: [0, 2] },
    y: { label: "objective, less its value at ρ = 1", range: [-2, 2] },
    sliders: {
      ratio: { label: "ρ", from: 0.05, to: 2, value: 1, step: 0.05 },
      advantage: { label: "advantage A", from: -1.5, to: 1.5, value: 1, step: 0.25 },
      epsilon: { label: "ε", from: 0.05, to: 0.5, value: 0.2, step: 0.05 },
    },
    curves({ ratio, advantage, epsilon }) {
      const here = objectives(ratio, advantage, epsilon);
      const curve = (name) => line(0.02, 2, 199, (r) => objectives(r, advantage, epsilon)[name].value);
      return {
        curves: { "REINFORCE: A log π": curve("score"), "TRPO: ρ A": curve("surrogate"), "PPO: clipped": curve("clipped") },
        points: Object.values(here).map(({ value }) => [ratio, value]),
        says: `Slopes here: REINFORCE ${here.score.slope.toFixed(2)}, TRPO ${here.surrogate.slope.toFixed(2)}, ` +
          `PPO ${here.clipped.slope.toFixed(2)}. At ρ = 1, where every update begins, all three are A.`,
      };
    },
  },
  tracking: {
    title: "What a velocity error costs",
    x: { label: "velocity error, m/s", range: [0, 1] },
    y: { label: "reward per second", range: [-1, 2] },
    sliders: {
      error: { label: "velocity error, m/s", from: 0, to: 1, value: 0.5, step: 0.01 },
      width: { label: "σ, m/s", from: 0.05, to: 1, value: 0.25, step: 0.05 },
      pull: { label: "weight of the error itself", from: -2, to: 0, value: -1, step: 0.25 },
    },
    curves({ error, width, pull }) {
      const at = (e) => tracking(e, width, 1.5, pull), curve = (name) => line(0, 1, 201, (e) => at(e)[name]);
      const slope = (at(error + 1e-4).sum - at(error - 1e-4).sum) / 2e-4;
      return {
        curves: { "1.5 exp(−e²/σ²)": curve("kernel"), "weight · e": curve("line"), "both": curve("sum") },
        points: [[error, at(error).sum]],
        says: `A robot that is better by 1 cm/s earns ${(-0.01 * slope).toFixed(4)} per second more.`,
      };
    },
  },
  worlds: {
    title: "One world, or many",
    x: { label: "speed of the push, m/s", range: [1, 6] },
    y: { label: "mean reward", range: [-2, 0] },
    sliders: {
      low: { label: "friction from", from: 0.2, to: 1, value: 0.4, step: 0.05 },
      high: { label: "to", from: 0.2, to: 1.5, value: 1.4, step: 0.05 },
      real: { label: "friction of the real floor", from: 0.2, to: 1.5, value: 0.5, step: 0.05 },
    },
    curves({ low, high, real }) {
      const [least, most] = [Math.min(low, high), Math.max(low, high)], middle = (least + most) / 2;
      const one = line(1, 6, 251, (v) => slides(v, middle));
      const many = line(1, 6, 251, (v) => slidesOnAverage(v, least, most));
      const [a, b] = [highest(one)[0], highest(many)[0]];
      return {
        curves: { "trained on the middle one": one, "trained on all of them": many, "the real floor": line(1, 6, 251, (v) => slides(v, real)) },
        points: [[a, slides(a, real)], [b, slides(b, real)]],
        says: `Trained on one floor it pushes with ${a.toFixed(2)} m/s and misses the mark in reality by ${(-slides(a, real)).toFixed(2)} m; ` +
          `trained on all, with ${b.toFixed(2)} m/s and by ${(-slides(b, real)).toFixed(2)} m. Over all floors it misses by ` +
          `${(-slidesOnAverage(a, least, most)).toFixed(2)} m and ${(-slidesOnAverage(b, least, most)).toFixed(2)} m.`,
      };
    },
  },
  worth: {
    title: "What each place is worth",
    x: { label: "place", range: [0, 7] },
    y: { label: "V", range: [-10, 10] },
    sliders: {
      jump: { label: "probability to jump", from: 0, to: 1, value: 0.5, step: 0.05 },
      short: { label: "a jump falls short with probability", from: 0, to: 0.5, value: 0.1, step: 0.05 },
    },
    curves({ jump, short }) {
      const values = worth(jump, short, 1).map((v, place) => [place, v]);
      return {
        curves: { "V": values },
        points: values,
        says: `At the start V = ${values[0][1].toFixed(2)}; beside the pit, from where only a jump helps, V = ${values[3][1].toFixed(2)}.`,
      };
    },
  },
  discount: {
    title: "How much the flag counts",
    x: { label: "probability to jump", range: [0, 1] },
    y: { label: "J", range: [-8, 4] },
    sliders: {
      jump: { label: "probability to jump", from: 0, to: 1, value: 0.5, step: 0.01 },
      gamma: { label: "γ", from: 0.5, to: 1, value: 1, step: 0.05 },
      short: { label: "a jump falls short with probability", from: 0, to: 0.5, value: 0.1, step: 0.05 },
    },
    curves({ jump, gamma, short }) {
      const hill = line(0, 1, 101, (q) => worth(q, short, gamma)[0]);
      const [best] = hill.reduce((a, b) => (b[1] > a[1] ? b : a));
      return {
        curves: { "J": hill },
        points: [[jump, worth(jump, short, gamma)[0]]],
        says: `J = ${worth(jump, short, gamma)[0].toFixed(2)}; the best of these policies jumps with probability ${best.toFixed(2)}.`,
      };
    },
  },
  estimate: {
    title: "The gradient from a few games",
    x: { label: "number of games", range: [1, 200] },
    y: { label: "estimate, and where two of three lie", range: [-1, 2] },
    sliders: {
      chance: { label: "probability of the better action", from: 0.05, to: 0.95, value: 0.5, step: 0.05 },
      better: { label: "its reward", from: -2, to: 5, value: 2, step: 0.25 },
      worse: { label: "reward of the other", from: -2, to: 5, value: 1, step: 0.25 },
    },
    curves({ chance, better, worse }) {
      const { mean, variance } = coin(chance, [worse, better], 0);
      const edge = (sign) => line(1, 200, 200, (n) => mean + sign * Math.sqrt(variance / n));
      const needed = mean === 0 ? Infinity : variance / (mean * mean);
      return {
        curves: { "∇J": line(1, 200, 2, () => mean), "one standard deviation more": edge(1), "and less": edge(-1) },
        says: `∇J = ${mean.toFixed(3)}. ` + (Number.isFinite(needed)
          ? `Its estimate is as large as its error after ${Math.ceil(needed - 1e-9)} games.`
          : "Both actions earn the same: there is nothing to find."),
      };
    },
  },
  baseline: {
    title: "Variance against a baseline",
    x: { label: "baseline b", range: [-10, 15] },
    y: { label: "variance of one game's gradient", range: [0, 25] },
    sliders: {
      b: { label: "baseline b", from: -10, to: 15, value: 0, step: 0.5 },
      chance: { label: "probability of the better action", from: 0.05, to: 0.95, value: 0.5, step: 0.05 },
      better: { label: "its reward", from: 0, to: 10, value: 9, step: 0.5 },
    },
    curves({ b, chance, better }) {
      const rewards = [5, better], at = (x) => coin(chance, rewards, x);
      const V = (1 - chance) * rewards[0] + chance * rewards[1];
      return {
        curves: {
          "variance": line(-10, 15, 201, (x) => at(x).variance),
          "b = V": [[V, 0], [V, 25]],
        },
        points: [[b, at(b).variance]],
        says: `The other action earns 5, V is ${V.toFixed(2)}. With this b the variance is ${at(b).variance.toFixed(2)}, ` +
          `with V ${at(V).variance.toFixed(2)}; the mean is ${at(b).mean.toFixed(2)} with any b.`,
      };
    },
  },
  bounce: {
    title: "Two balls, a little apart",
    x: { label: "time, s", range: [0, 5] },
    y: { label: "x, m", range: [-6, 6] },
    sliders: {
      bump: { label: "height of the bumps, m", from: 0, to: 0.1, value: 0.05, step: 0.005 },
      apart: { label: "apart at the start: 10 to the power of", from: -8, to: -1, value: -6, step: 1 },
    },
    curves({ bump, apart }) {
      const [one, other] = [0.1, 0.1 + 10 ** apart].map((x) => bounce(x, bump, 1000));
      const seen = (places) => places.filter((_, i) => i % 4 === 0).map(([x], i) => [i * 0.02, x]);
      const gap = Math.abs(other[1000][0] - one[1000][0]);
      return {
        curves: { "one ball": seen(one), "the other": seen(other) },
        says: `After 5 s they are ${gap.toPrecision(2)} m apart: ${(gap / 10 ** apart).toPrecision(2)} times as far as at the start.`,
      };
    },
  },
  smoothed: {
    title: "A step, seen by a policy that draws",
    x: { label: "mean of the action", range: [-1, 3] },
    y: { label: "expected reward", range: [-0.1, 1.1] },
    sliders: {
      mean: { label: "mean of the action", from: -1, to: 3, value: 0.5, step: 0.05 },
      sigma: { label: "σ", from: 0.05, to: 1.5, value: 0.5, step: 0.05 },
    },
    curves({ mean, sigma }) {
      const J = (m) => below((m - 1) / sigma), slope = density((mean - 1) / sigma) / sigma;
      return {
        curves: {
          "the reward itself": [[-1, 0], [1, 0], [1, 1], [3, 1]],
          "J": line(-1, 3, 161, J),
          "its slope here": [-0.4, 0.4].map((d) => [mean + d, J(mean) + d * slope]),
        },
        points: [[mean, J(mean)]],
        says: `J = ${J(mean).toFixed(3)}, and its derivative is ${slope.toFixed(3)}. The reward's own is 0.`,
      };
    },
  },
  advantages: {
    title: "Advantages of one episode",
    x: { label: "step", range: [0, 7] },
    y: { label: "advantage", range: [-7, 9] },
    sliders: {
      lambda: { label: "λ", from: 0, to: 1, value: 0.5, step: 0.05 },
      gamma: { label: "γ", from: 0.5, to: 1, value: 1, step: 0.05 },
    },
    curves({ lambda, gamma }) {
      const at = (l) => advantages(EPISODE.rewards, EPISODE.values, gamma, l).map((a, t) => [t, a]);
      const now = at(lambda), weight = gamma * lambda;
      return {
        curves: { "λ = 0: δ alone": at(0), "λ = 1: reward to go − V": at(1), "with this λ": now },
        points: now,
        says: `A surprise k steps later counts ${weight.toFixed(2)} to the power of k: ` +
          `${weight.toFixed(2)}, ${(weight ** 2).toFixed(2)}, ${(weight ** 3).toFixed(2)} …`,
      };
    },
  },
  step: {
    title: "One step of the mean",
    x: { label: "action", range: [-3, 3] },
    y: { label: "density, highest = 1", range: [0, 1.1] },
    sliders: {
      sigma: { label: "σ of the policy", from: 0.1, to: 1, value: 0.5, step: 0.05 },
      size: { label: "size of the plain step", from: 0.02, to: 0.5, value: 0.1, step: 0.02 },
      delta: { label: "δ, nats", from: 0.005, to: 0.5, value: 0.01, step: 0.005 },
    },
    curves({ sigma, size, delta }) {
      const plain = size / sigma, natural = Math.sqrt(2 * delta) * sigma;
      const bell = (mean) => line(-3, 3, 241, (x) => Math.exp(-0.5 * ((x - mean) / sigma) ** 2));
      return {
        curves: { "old policy": bell(0), "after a plain step": bell(plain), "after a natural step": bell(natural) },
        says: `The plain step costs ${divergence(plain, sigma).toPrecision(3)} nats, ` +
          `the natural step ${divergence(natural, sigma).toPrecision(3)}.`,
      };
    },
  },
  clipped: {
    title: "Objective of one sample",
    x: { label: "ratio ρ", range: [0, 2] },
    y: { label: "objective", range: [-3, 3] },
    sliders: {
      ratio: { label: "ρ", from: 0, to: 2, value: 1, step: 0.05 },
      advantage: { label: "advantage A", from: -1.5, to: 1.5, value: 1, step: 0.25 },
      epsilon: { label: "ε", from: 0.05, to: 0.5, value: 0.2, step: 0.05 },
    },
    curves({ ratio, advantage, epsilon }) {
      const here = clipped(ratio, advantage, epsilon);
      const pull = here.slope * advantage === 0 ? "Nothing pulls at this sample any more" :
        `This sample makes its action ${here.slope > 0 ? "likelier" : "less likely"}`;
      return {
        curves: {
          "ρ A": line(0, 2, 2, (r) => r * advantage),
          "clipped": line(0, 2, 401, (r) => clipped(r, advantage, epsilon).value),
        },
        points: [[ratio, here.value]],
        says: `${pull}: the slope is ${here.slope.toFixed(2)}.`,
      };
    },
  },
};
