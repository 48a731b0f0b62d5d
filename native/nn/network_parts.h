// What every kernel of a neural network is made of, whichever way it multiplies.
#pragma once

#include "../common/vectors.h"
#include "network_call.h"

namespace walkies::WALKIES_NS {

// Columns that `n` columns take in whole vectors.
constexpr int64_t panelled(int64_t n) { return round_up(n, WALKIES_LANES); }

// x, at most `high`, or at least `low`; unlike `min` and `max`, a NaN stays one.
WALKIES_INLINE Lanes at_most(Lanes x, float high) { return x > high ? splat<Lanes>(high) : x; }
WALKIES_INLINE Lanes at_least(Lanes x, float low) { return x < low ? splat<Lanes>(low) : x; }

// e^x, relative error 2e-7; x is brought into the range of normal numbers first.
WALKIES_INLINE Lanes exp(Lanes x) {
  x = at_most(at_least(x, -87.0f), 88.0f);
  const float round = 12582912.0f;  // 1.5·2²³: adding it rounds to the nearest integer
  Lanes shifted = x * 1.44269504088896341f + round;
  Lanes n = shifted - round;
  Lanes r = x - n * 0.693359375f;
  r = r + n * 2.12194440e-4f;
  Lanes p = 1.0f + r * (1.0f + r * (0.5f + r * (1.6666665459e-1f + r * (4.1665795894e-2f +
                   r * (8.3334519073e-3f + r * (1.3981999507e-3f + r * 1.9875691500e-4f))))));
  LaneMask exponent = ((LaneMask)shifted - 0x4b400000 + 127) << 23;
  return p * (Lanes)exponent;
}

template <int64_t A>
WALKIES_INLINE Lanes activate(Lanes x) {
  if constexpr (A == kRelu) return at_least(x, 0.0f);
  if constexpr (A == kElu) return x > 0.0f ? x : exp(at_most(x, 0.0f)) - 1.0f;
  if constexpr (A == kTanh) return 1.0f - 2.0f / (exp(2.0f * x) + 1.0f);
}

// Derivative of the activation, given its value.
template <int64_t A>
WALKIES_INLINE Lanes slope(Lanes y) {
  if constexpr (A == kRelu) return keep(y > 0.0f, splat<Lanes>(1.0f));
  if constexpr (A == kElu) return y > 0.0f ? splat<Lanes>(1.0f) : y + 1.0f;
  if constexpr (A == kTanh) return 1.0f - y * y;
}

// Calls f<A>() for the activation of that code.
template <class F>
WALKIES_INLINE void with_activation(int64_t activation, F&& f) {
  if (activation == kRelu) return f.template operator()<kRelu>();
  if (activation == kElu) return f.template operator()<kElu>();
  f.template operator()<kTanh>();
}

// Float32 numbers that the weights of all layers take as `Packing` arranges them: forwards, or transposed for the way
// back, which the first layer does not need.
template <class Packing>
static size_t packed_size(const NetworkCall& call, bool transposed) {
  int64_t total = 0;
  for (int64_t l = transposed; l < call.layers; l++) total += Packing::size(call.layer[l], transposed);
  return size_t(total);
}

template <class Packing>
static void pack(const NetworkCall& call, bool transposed, float* packed) {
  for (int64_t l = transposed; l < call.layers; l++) {
    Packing::pack(call.layer[l], transposed, packed);
    packed += Packing::size(call.layer[l], transposed);
  }
}

// One part's sums: for every layer weights (inputs in blocks of RowBlock, panelled outputs), then bias.
template <int RowBlock>
WALKIES_INLINE int64_t partial_layer(const Layer& layer) {
  return (round_up(layer.inputs, RowBlock) + 1) * panelled(layer.outputs);
}

template <int RowBlock>
static size_t partial_size(const NetworkCall& call) {
  int64_t total = 0;
  for (int64_t l = 0; l < call.layers; l++) total += partial_layer<RowBlock>(call.layer[l]);
  return size_t(total);
}

// Add the parts, in their order, into the results: one of `pieces` equal shares of every layer's rows.
template <int RowBlock>
static void sum(const NetworkCall& call, const float* partial, int64_t piece, int64_t pieces) {
  const int64_t total = int64_t(partial_size<RowBlock>(call));
  int64_t offset = 0;
  for (int64_t l = 0; l < call.layers; l++) {
    const Layer& layer = call.layer[l];
    const int64_t columns = panelled(layer.outputs), rows = layer.inputs + 1;
    for (int64_t k = rows * piece / pieces; k < rows * (piece + 1) / pieces; k++) {
      float* out = k < layer.inputs ? layer.weights_gradient + k * layer.outputs : layer.bias_gradient;
      const int64_t row = k < layer.inputs ? k : round_up(layer.inputs, RowBlock);
      for (int64_t c = 0; c < columns; c += WALKIES_LANES) {
        const float* at = partial + offset + row * columns + c;
        Lanes all = load(at);
        for (int64_t part = 1; part < kParts; part++) all += load(at + part * total);
        store_some(out + c, all, layer.outputs - c);
      }
    }
    offset += partial_layer<RowBlock>(layer);
  }
}

}  // namespace walkies::WALKIES_NS
