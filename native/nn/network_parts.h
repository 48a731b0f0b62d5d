// What every kernel of a neural network is made of, whichever way it multiplies.
#pragma once

#include "../common/vectors.h"
#include "functions.h"

namespace walkies::WALKIES_NS {

// Columns that `n` columns take in whole vectors.
constexpr int64_t panelled(int64_t n) { return round_up(n, WALKIES_LANES); }

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
static void pack(const NetworkCall& call, bool transposed, float* packed, int64_t layer, int64_t first, int64_t stop) {
  if (layer < transposed) return;
  for (int64_t l = transposed; l < layer; l++) packed += Packing::size(call.layer[l], transposed);
  Packing::pack(call.layer[layer], transposed, packed, first, stop);
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
