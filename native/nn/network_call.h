// What one call of a neural network gets and gives: plain data, shared by the binding and by every instruction set.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace walkies {

constexpr int kMaxLayers = 8;
constexpr int64_t kPackedRows = 32;  // of weights, that are packed by themselves
constexpr int kParts = 8;   // partial sums of a gradient: fixed, so that its bits do not depend on the threads

enum Activation : int64_t { kRelu = 0, kElu = 1, kTanh = 2 };

// One dense layer: weights (inputs, outputs) row-major, bias (outputs).
struct Layer {
  int64_t inputs, outputs;
  const float *weights, *bias;
  float *weights_gradient, *bias_gradient;
};

// A multilayer perceptron over `samples` rows. Hidden activations lie side by side in the rows of `hidden`, layer l
// from column hidden_offset(l); a row is an odd number of cache lines long, so that a column does not fall into a few
// sets of the cache.
struct NetworkCall {
  int64_t samples, layers, activation;
  Layer layer[kMaxLayers];
  const float* inputs;           // (samples, inputs of the first layer)
  float* hidden;                 // (samples, hidden_width), or null: not kept
  float* outputs;                // (samples, outputs of the last layer)
  const float* output_gradient;  // (samples, outputs of the last layer)

  int64_t hidden_offset(int64_t l) const {
    int64_t offset = 0;
    for (int64_t i = 0; i < l; i++) offset += (layer[i].outputs + 15) / 16 * 16;
    return offset;
  }
  // Samples of each of kParts parts but the last ones, a multiple of `share`.
  int64_t part_size(int64_t share) const { return ((samples + kParts - 1) / kParts + share - 1) / share * share; }
  int64_t hidden_width() const {
    int64_t lines = hidden_offset(layers - 1) / 16;
    return 16 * (lines + (lines % 2 == 0));
  }
};

// The networks of one instruction set. `packed` and `partial` are memory of the sizes that the first functions name,
// on cache lines; `partial` holds kParts times that size, and `sums` is one of them.
struct NetworkKernel {
  const char* isa;
  int64_t chunk;           // samples that one pass forwards keeps in the cache
  int64_t backward_chunk;  // likewise on the way back
  int64_t share;           // samples of a part are a multiple of this
  size_t (*packed_size)(const NetworkCall&, bool transposed);
  size_t (*partial_size)(const NetworkCall&);
  // Rows `first` … `stop` − 1 of one layer's weights; `first` is a multiple of kPackedRows.
  void (*pack)(const NetworkCall&, bool transposed, float* packed, int64_t layer, int64_t first, int64_t stop);
  void (*forward)(const NetworkCall&, const float* packed, int64_t chunk);
  // The gradient of samples `first` … `stop` − 1, put into `sums`, or added to what is there.
  void (*backward)(const NetworkCall&, const float* packed, float* sums, int64_t first, int64_t stop, bool add);
  void (*sum)(const NetworkCall&, const float* partial, int64_t piece, int64_t pieces);
};

}  // namespace walkies
