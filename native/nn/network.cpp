// Multilayer perceptrons, forwards and backwards, for one instruction set.
//
// A chunk of samples runs through all layers while it is in the cache. Every matrix product is the same register tile:
// `R` rows × `C` vectors of sums, fed by one broadcast per row and one load per vector.
#include "network_parts.h"

namespace walkies::WALKIES_NS {

constexpr int kChunk = 48;                        // samples at a time; a multiple of the rows of a register tile
constexpr int kVectors = 2;                       // of a full tile
constexpr int kPanel = kVectors * WALKIES_LANES;  // columns of a full panel of packed weights

// sum[i][j] = Σ_k a[i·a_row + k·a_step] · b[k·b_step + j]: R × C·lanes sums over `steps`.
template <int R, int C>
WALKIES_INLINE void tile(const float* a, int64_t a_row, int64_t a_step, const float* b, int64_t b_step, int64_t steps,
                         Lanes (&sum)[R][C]) {
  WALKIES_UNROLL
  for (int i = 0; i < R; i++) {
    WALKIES_UNROLL
    for (int j = 0; j < C; j++) sum[i][j] = Lanes{};
  }
  for (int64_t k = 0; k < steps; k++) {
    Lanes right[C];
    WALKIES_UNROLL
    for (int j = 0; j < C; j++) right[j] = load(b + k * b_step + j * WALKIES_LANES);
    WALKIES_UNROLL
    for (int i = 0; i < R; i++) {
      Lanes left = splat<Lanes>(a[i * a_row + k * a_step]);
      WALKIES_UNROLL
      for (int j = 0; j < C; j++) sum[i][j] += left * right[j];
    }
  }
}

// Call f<R>(row) for tiles that cover `rows`.
template <class F>
WALKIES_INLINE void over_rows(int64_t rows, F&& f) {
  int64_t r = 0;
  for (; r + 6 <= rows; r += 6) f.template operator()<6>(r);
  for (; r + 2 <= rows; r += 2) f.template operator()<2>(r);
  for (; r < rows; r++) f.template operator()<1>(r);
}

// Call f<C>(column) for panels that cover `columns`.
template <class F>
WALKIES_INLINE void over_panels(int64_t columns, F&& f) {
  int64_t c = 0;
  for (; columns - c > WALKIES_LANES; c += kPanel) f.template operator()<kVectors>(c);
  if (c < columns) f.template operator()<1>(c);
}

struct Range {
  int64_t first, stop;
};

// Weights as panels, zero where a panel reaches beyond the matrix: panel, row, column within the panel. Only `of_rows`,
// and panels that begin in `of_columns`.
static void pack_matrix(const float* matrix, int64_t rows, int64_t columns, int64_t row_step, int64_t column_step,
                        Range of_rows, Range of_columns, float* packed) {
  over_panels(columns, [&]<int C>(int64_t c) {
    if (c < of_columns.first || c >= of_columns.stop) return;
    float* panel = packed + c * rows;
    for (int64_t r = of_rows.first; r < of_rows.stop; r++) {
      const float* from = matrix + r * row_step + c * column_step;
      float* to = panel + r * C * WALKIES_LANES;
      if (column_step == 1 && c + C * WALKIES_LANES <= columns) {
        for (int j = 0; j < C; j++) store(to + j * WALKIES_LANES, load(from + j * WALKIES_LANES));
      } else {
        for (int64_t j = 0; j < C * WALKIES_LANES; j++) to[j] = c + j < columns ? from[j * column_step] : 0.0f;
      }
    }
  });
}

static int64_t packed_columns(int64_t columns) {
  int64_t total = 0;
  over_panels(columns, [&]<int C>(int64_t) { total += C * WALKIES_LANES; });
  return total;
}

struct Panels {
  static int64_t size(const Layer& layer, bool transposed) {
    return transposed ? layer.outputs * packed_columns(layer.inputs) : layer.inputs * packed_columns(layer.outputs);
  }
  static void pack(const Layer& layer, bool transposed, float* packed, int64_t first, int64_t stop) {
    static_assert(kPackedRows % kPanel == 0);
    const int64_t in = layer.inputs, out = layer.outputs;
    if (transposed) {
      pack_matrix(layer.weights, out, in, 1, out, {0, out}, {first, stop}, packed);
    } else {
      pack_matrix(layer.weights, in, out, out, 1, {first, stop}, {0, out}, packed);
    }
  }
};

template <int64_t A, bool Last>
static void forward_layer(const Layer& layer, const float* packed, const float* in, int64_t in_row, float* out,
                          int64_t out_row, int64_t rows) {
  over_panels(layer.outputs, [&]<int C>(int64_t c) {
    const float* panel = packed + c * layer.inputs;
    const int64_t columns = layer.outputs - c;
    Lanes bias[C] = {};
    for (int64_t j = 0; j < C * WALKIES_LANES && j < columns; j++) {
      bias[j / WALKIES_LANES][j % WALKIES_LANES] = layer.bias[c + j];
    }
    over_rows(rows, [&]<int R>(int64_t r) {
      Lanes sum[R][C];
      tile<R, C>(in + r * in_row, in_row, 1, panel, C * WALKIES_LANES, layer.inputs, sum);
      for (int i = 0; i < R; i++) {
        WALKIES_UNROLL
        for (int j = 0; j < C; j++) {
          Lanes y = sum[i][j] + bias[j];
          if constexpr (!Last) y = activate<A>(y);
          store_some(out + (r + i) * out_row + c + j * WALKIES_LANES, y, columns - j * WALKIES_LANES);
        }
      }
    });
  });
}

template <int64_t A>
static void forward_chunk(const NetworkCall& call, const float* packed, int64_t chunk) {
  const int64_t begin = chunk * kChunk, width = call.hidden_width();
  const int64_t rows = call.samples - begin < kChunk ? call.samples - begin : kChunk;
  // Activations that nobody wants to keep live on the stack.
  float* hidden = call.hidden ? call.hidden + begin * width
                              : static_cast<float*>(__builtin_alloca_with_align(sizeof(float) * kChunk * width, 512));
  const float* in = call.inputs + begin * call.layer[0].inputs;
  int64_t in_row = call.layer[0].inputs;
  for (int64_t l = 0; l + 1 < call.layers; l++) {
    float* out = hidden + call.hidden_offset(l);
    forward_layer<A, false>(call.layer[l], packed, in, in_row, out, width, rows);
    packed += Panels::size(call.layer[l], false);
    in = out, in_row = width;
  }
  const Layer& last = call.layer[call.layers - 1];
  forward_layer<A, true>(last, packed, in, in_row, call.outputs + begin * last.outputs, last.outputs, rows);
}

// sums += inᵀ·delta and the column sums of delta (rows × panelled outputs).
static void weights_gradient(const Layer& layer, const float* in, int64_t in_row, const float* delta,
                             int64_t delta_row, int64_t rows, float* sums) {
  const int64_t columns = panelled(layer.outputs);
  over_panels(columns, [&]<int C>(int64_t c) {
    over_rows(layer.inputs, [&]<int R>(int64_t k) {
      Lanes sum[R][C];
      tile<R, C>(in + k, 1, in_row, delta + c, delta_row, rows, sum);
      for (int i = 0; i < R; i++) {
        for (int j = 0; j < C; j++) {
          float* at = sums + (k + i) * columns + c + j * WALKIES_LANES;
          store(at, load(at) + sum[i][j]);
        }
      }
    });
    float* bias = sums + layer.inputs * columns + c;
    for (int j = 0; j < C; j++) {
      Lanes sum = load(bias + j * WALKIES_LANES);
      for (int64_t r = 0; r < rows; r++) sum += load(delta + r * delta_row + c + j * WALKIES_LANES);
      store(bias + j * WALKIES_LANES, sum);
    }
  });
}

// before = (delta·Wᵀ) ⊙ slope(hidden)
template <int64_t A>
static void delta_before(const Layer& layer, const float* packed, const float* delta, int64_t delta_row,
                         const float* hidden, int64_t hidden_row, float* before, int64_t before_row, int64_t rows) {
  over_panels(layer.inputs, [&]<int C>(int64_t c) {
    const float* panel = packed + c * layer.outputs;
    over_rows(rows, [&]<int R>(int64_t r) {
      Lanes sum[R][C];
      tile<R, C>(delta + r * delta_row, delta_row, 1, panel, C * WALKIES_LANES, layer.outputs, sum);
      for (int i = 0; i < R; i++) {
        for (int j = 0; j < C; j++) {
          const int64_t column = c + j * WALKIES_LANES, count = layer.inputs - column;
          Lanes y = {};
          if (count >= WALKIES_LANES) {
            y = load(hidden + (r + i) * hidden_row + column);
          } else {
            for (int64_t m = 0; m < count; m++) y[m] = hidden[(r + i) * hidden_row + column + m];
          }
          Lanes d = sum[i][j] * slope<A>(y);
          for (int64_t m = count < 0 ? 0 : count; m < WALKIES_LANES; m++) d[m] = 0.0f;
          if (column < panelled(layer.inputs)) store(before + (r + i) * before_row + column, d);
        }
      }
    });
  });
}

template <int64_t A>
static void backward_rows(const NetworkCall& call, const float* packed, float* sums, int64_t first, int64_t stop,
                          bool add) {
  const int64_t total = int64_t(partial_size<1>(call));
  for (int64_t i = 0; i < total && !add; i++) sums[i] = 0.0f;
  int64_t widest = 0;
  for (int64_t l = 0; l < call.layers; l++) {
    const int64_t columns = panelled(call.layer[l].outputs);
    widest = columns > widest ? columns : widest;
  }
  const int64_t row = round_up(widest, 32) + 16, width = call.hidden_width();
  float* memory = static_cast<float*>(__builtin_alloca_with_align(sizeof(float) * 2 * kChunk * row, 512));
  float *delta = memory, *before = memory + kChunk * row;
  for (int64_t begin = first; begin < stop; begin += kChunk) {
    const int64_t rows = stop - begin < kChunk ? stop - begin : kChunk;
    const int64_t outputs = call.layer[call.layers - 1].outputs;
    for (int64_t r = 0; r < rows; r++) {
      for (int64_t j = 0; j < panelled(outputs); j++) {
        delta[r * row + j] = j < outputs ? call.output_gradient[(begin + r) * outputs + j] : 0.0f;
      }
    }
    float* layer_sums = sums + total;
    const float* layer_packed = packed + packed_size<Panels>(call, true);
    for (int64_t l = call.layers - 1; l >= 0; l--) {
      const Layer& layer = call.layer[l];
      const float* in = l == 0 ? call.inputs + begin * layer.inputs
                               : call.hidden + begin * width + call.hidden_offset(l - 1);
      const int64_t in_row = l == 0 ? layer.inputs : width;
      layer_sums -= partial_layer<1>(layer);
      weights_gradient(layer, in, in_row, delta, row, rows, layer_sums);
      if (l == 0) break;
      layer_packed -= Panels::size(layer, true);
      delta_before<A>(layer, layer_packed, delta, row, in, in_row, before, row, rows);
      float* swap = delta;
      delta = before, before = swap;
    }
  }
}

static void forward(const NetworkCall& call, const float* packed, int64_t chunk) {
  with_activation(call.activation, [&]<int64_t A>() { forward_chunk<A>(call, packed, chunk); });
}

static void backward(const NetworkCall& call, const float* packed, float* sums, int64_t first, int64_t stop, bool add) {
  with_activation(call.activation, [&]<int64_t A>() { backward_rows<A>(call, packed, sums, first, stop, add); });
}

extern const NetworkKernel networks = {WALKIES_STRING(WALKIES_NS), kChunk, kChunk, 6, packed_size<Panels>,
                                       partial_size<1>, pack<Panels>, forward, backward, sum<1>};

}  // namespace walkies::WALKIES_NS
