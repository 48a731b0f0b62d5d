// The policy's network (walkies.deploy.layers): x ↦ activation(x · weights + bias), layer after layer.
import { numbers } from "./engine.js";

const ACTIVATIONS = {
  "": (x) => x,
  tanh: (x) => x.map(Math.tanh),
  relu: (x) => x.map((value) => Math.max(value, 0)),
  elu: (x) => x.map((value) => (value > 0 ? value : Math.expm1(value))),
  sigmoid: (x) => x.map((value) => 0.5 * (1 + Math.tanh(0.5 * value))),
  softmax(x) {
    const most = Math.max(...x), shares = x.map((value) => Math.exp(value - most));
    const sum = shares.reduce((total, value) => total + value, 0);
    return shares.map((value) => value / sum);
  },
};

/** A dense layer; weights lie row by row, a row per input. Sums are float64, what leaves the layer float32. */
function dense({ weights, bias, activation }) {
  const [matrix, offset] = [weights, bias].map((text) => numbers(text, Float32Array));
  const act = ACTIVATIONS[activation];
  return (x) => {
    const sum = Float64Array.from(offset);
    for (let i = 0; i < x.length; i++)
      for (let o = 0, at = i * sum.length; o < sum.length; o++) sum[o] += x[i] * matrix[at + o];
    return act(Float32Array.from(sum));
  };
}

function prelu({ bias }) {
  const slope = numbers(bias, Float32Array);
  return (x) => x.map((value, i) => (value < 0 ? slope[i] * value : value));
}

/** The network as a function of an observation, a Float32Array; layers: of `walkies.show.share.content.policy`. */
export function makeNetwork(layers) {
  const functions = layers.map((layer) => (layer.weights === null ? prelu(layer) : dense(layer)));
  return (observation) => functions.reduce((x, layer) => layer(x), observation);
}
