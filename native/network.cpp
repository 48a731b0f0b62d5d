// Multilayer perceptrons, forwards and backwards, for one instruction set.
//
// A chunk of samples runs through all layers while it is in the cache. Every matrix product is the same register tile:
// `R` rows × `C` vectors of sums, fed by one broadcast per row and one load per vector.
#include "network_call.h"
#include "number.h"

#define WALKIES_STRING_(x) #x
#define WALKIES_STRING(x) WALKIES_STRING_(x)

namespace walkies::WALKIES_NS {

typedef float LooseLanes __attribute__((vector_size(4 * WALKIES_LANES), aligned(4), may_alias));

WALKIES_INLINE Lanes load(const float* p) { return *reinterpret_cast<const LooseLanes*>(p); }
WALKIES_INLINE void store(float* p, Lanes v) { *reinterpret_cast<LooseLanes*>(p) = v; }

constexpr int kVectors = 2;                       // of a full tile
constexpr int kPanel = kVectors * WALKIES_LANES;  // columns of a full panel of packed weights

constexpr int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

// Columns that `n` columns take in panels: full ones, and a last one of a single vector where that is enough.
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

// Weights as panels, zero where a panel reaches beyond the matrix: panel, row, column within the panel.
static void pack_matrix(const float* matrix, int64_t rows, int64_t columns, int64_t row_step, int64_t column_step,
                        float* packed) {
  over_panels(columns, [&]<int C>(int64_t c) {
    float* panel = packed + c * rows;
    for (int64_t r = 0; r < rows; r++) {
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

static int64_t packed_layer(const Layer& layer, bool transposed) {
  return transposed ? layer.outputs * packed_columns(layer.inputs) : layer.inputs * packed_columns(layer.outputs);
}

static size_t packed_size(const NetworkCall& call, bool transposed) {
  int64_t total = 0;
  for (int64_t l = transposed; l < call.layers; l++) total += packed_layer(call.layer[l], transposed);
  return size_t(total);
}

// transposed: for the way back, which the first layer does not need.
static void pack(const NetworkCall& call, bool transposed, float* packed) {
  for (int64_t l = transposed; l < call.layers; l++) {
    const Layer& layer = call.layer[l];
    if (transposed) {
      pack_matrix(layer.weights, layer.outputs, layer.inputs, 1, layer.outputs, packed);
    } else {
      pack_matrix(layer.weights, layer.inputs, layer.outputs, layer.outputs, 1, packed);
    }
    packed += packed_layer(layer, transposed);
  }
}

// The first `count` numbers of a vector.
WALKIES_INLINE void store_some(float* p, Lanes v, int64_t count) {
  if (count >= WALKIES_LANES) return store(p, v);
  for (int64_t j = 0; j < count; j++) p[j] = v[j];
}

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
    packed += packed_layer(call.layer[l], false);
    in = out, in_row = width;
  }
  const Layer& last = call.layer[call.layers - 1];
  forward_layer<A, true>(last, packed, in, in_row, call.outputs + begin * last.outputs, last.outputs, rows);
}

// One part's sums: for every layer weights (inputs, panelled outputs), then bias.
static int64_t partial_layer(const Layer& layer) { return (layer.inputs + 1) * panelled(layer.outputs); }

static size_t partial_size(const NetworkCall& call) {
  int64_t total = 0;
  for (int64_t l = 0; l < call.layers; l++) total += partial_layer(call.layer[l]);
  return size_t(total);
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
static void backward_part(const NetworkCall& call, const float* packed, float* partial, int64_t part) {
  const int64_t total = int64_t(partial_size(call)), size = round_up((call.samples + kParts - 1) / kParts, 6);
  float* sums = partial + part * total;
  for (int64_t i = 0; i < total; i++) sums[i] = 0.0f;
  int64_t widest = 0;
  for (int64_t l = 0; l < call.layers; l++) {
    const int64_t columns = panelled(call.layer[l].outputs);
    widest = columns > widest ? columns : widest;
  }
  const int64_t row = round_up(widest, 32) + 16, width = call.hidden_width();
  float* memory = static_cast<float*>(__builtin_alloca_with_align(sizeof(float) * 2 * kChunk * row, 512));
  float *delta = memory, *before = memory + kChunk * row;
  const int64_t stop = (part + 1) * size < call.samples ? (part + 1) * size : call.samples;
  for (int64_t begin = part * size; begin < stop; begin += kChunk) {
    const int64_t rows = stop - begin < kChunk ? stop - begin : kChunk;
    const int64_t outputs = call.layer[call.layers - 1].outputs;
    for (int64_t r = 0; r < rows; r++) {
      for (int64_t j = 0; j < panelled(outputs); j++) {
        delta[r * row + j] = j < outputs ? call.output_gradient[(begin + r) * outputs + j] : 0.0f;
      }
    }
    float* layer_sums = sums + total;
    const float* layer_packed = packed + packed_size(call, true);
    for (int64_t l = call.layers - 1; l >= 0; l--) {
      const Layer& layer = call.layer[l];
      const float* in = l == 0 ? call.inputs + begin * layer.inputs
                               : call.hidden + begin * width + call.hidden_offset(l - 1);
      const int64_t in_row = l == 0 ? layer.inputs : width;
      layer_sums -= partial_layer(layer);
      weights_gradient(layer, in, in_row, delta, row, rows, layer_sums);
      if (l == 0) break;
      layer_packed -= packed_layer(layer, true);
      delta_before<A>(layer, layer_packed, delta, row, in, in_row, before, row, rows);
      float* swap = delta;
      delta = before, before = swap;
    }
  }
}

// Add the parts, in their order, into the results: one of `pieces` equal shares of every layer's rows.
static void sum(const NetworkCall& call, const float* partial, int64_t piece, int64_t pieces) {
  const int64_t total = int64_t(partial_size(call));
  int64_t offset = 0;
  for (int64_t l = 0; l < call.layers; l++) {
    const Layer& layer = call.layer[l];
    const int64_t columns = panelled(layer.outputs), rows = layer.inputs + 1;
    for (int64_t k = rows * piece / pieces; k < rows * (piece + 1) / pieces; k++) {
      float* out = k < layer.inputs ? layer.weights_gradient + k * layer.outputs : layer.bias_gradient;
      for (int64_t c = 0; c < columns; c += WALKIES_LANES) {
        const float* at = partial + offset + k * columns + c;
        Lanes all = load(at);
        for (int64_t part = 1; part < kParts; part++) all += load(at + part * total);
        store_some(out + c, all, layer.outputs - c);
      }
    }
    offset += partial_layer(layer);
  }
}

static void forward(const NetworkCall& call, const float* packed, int64_t chunk) {
  if (call.activation == kRelu) return forward_chunk<kRelu>(call, packed, chunk);
  if (call.activation == kElu) return forward_chunk<kElu>(call, packed, chunk);
  forward_chunk<kTanh>(call, packed, chunk);
}

static void backward(const NetworkCall& call, const float* packed, float* partial, int64_t part) {
  if (call.activation == kRelu) return backward_part<kRelu>(call, packed, partial, part);
  if (call.activation == kElu) return backward_part<kElu>(call, packed, partial, part);
  backward_part<kTanh>(call, packed, partial, part);
}

extern const NetworkKernel networks = {
    WALKIES_STRING(WALKIES_NS), packed_size, partial_size, pack, forward, backward, sum};

}  // namespace walkies::WALKIES_NS
