// Multilayer perceptrons on x86 processors that multiply small matrices in one instruction (AMX tiles).
//
// A tile multiplies bfloat16, numbers of eight significant bits, and adds float32. Every float32 is split here into two
// of them, high + low, and a product into three: high·high + high·low + low·high. What that leaves out is up to 2⁻¹⁷
// of a product and of changing sign, so results differ from those of float32 by up to 10⁻⁵ of the largest, and cost a
// third of what the tiles can do: still several times what vectors do. An infinity becomes a NaN.
#include <stdlib.h>

#include "../common/transpose.h"
#include "network_parts.h"

namespace walkies::WALKIES_NS {

constexpr int64_t kChunk = 64;           // samples at a time
constexpr int64_t kBackwardChunk = 128;  // likewise on the way back, where the gradient sums over them
constexpr int64_t kSide = 16;            // rows of a tile, and columns of float32
constexpr int64_t kSteps = 32;           // products that one tile instruction adds into each of its sums
constexpr int64_t kTile = 512;           // bfloat16 numbers in a tile
constexpr int64_t kSplit = 2 * kTile;    // a tile of high parts, and the one of their low parts behind it

typedef uint16_t Half;
typedef __m512i Pairs;  // 32 bfloat16 numbers

static_assert(WALKIES_LANES == kSide && kBackwardChunk % kSteps == 0);

constexpr int64_t blocks(int64_t n, int64_t size) { return (n + size - 1) / size; }

// An operand lies as tiles, high and low, in the order in which the product of one block of rows (or columns) takes
// them: `left` has rows × steps, `right` steps × columns with two steps side by side in each 32 bits.
constexpr int64_t operand_size(int64_t side, int64_t steps) {
  return blocks(side, kSide) * blocks(steps, kSteps) * kSplit;
}

struct Split {
  Pairs high, low;
};

// Rounded to the nearest bfloat16, still as float32; half-way cases away from zero. A NaN is left alone: adding to its
// bits could carry them over into those of a zero.
WALKIES_INLINE Lanes rounded(Lanes x) {
  return (Lanes)(((LaneMask)x + ((x == x) & 0x8000)) & int32_t(0xffff0000));
}

// `a` in the lower halves of 32 bits and `b` in the upper ones; both hold bfloat16.
WALKIES_INLINE Pairs across(Lanes a, Lanes b) {
  return (Pairs)((LaneMask)_mm512_srli_epi32((Pairs)a, 16) | (LaneMask)b);
}

// Two steps of 16 columns, side by side.
WALKIES_INLINE Split split_across(Lanes a, Lanes b) {
  const Lanes a_high = rounded(a), b_high = rounded(b);
  return {across(a_high, b_high), across(rounded(a - a_high), rounded(b - b_high))};
}

// 32 steps of one row, in their order.
WALKIES_INLINE Split split_along(Lanes a, Lanes b) {
  const Lanes a_high = rounded(a), b_high = rounded(b);
  return {(Pairs)_mm512_cvtne2ps_pbh((__m512)b_high, (__m512)a_high),
          (Pairs)_mm512_cvtne2ps_pbh((__m512)(b - b_high), (__m512)(a - a_high))};
}

WALKIES_INLINE void put(Half* tile, int64_t row, Split x) {
  _mm512_store_si512(tile + row * kSteps, x.high);
  _mm512_store_si512(tile + kTile + row * kSteps, x.low);
}

// 32 numbers of a row, zeros behind the first `count`.
WALKIES_INLINE Split part_of_row(const float* from, int64_t count) {
  return split_along(load_some(from, count), load_some(from + kSide, count - kSide));
}

// Rows of float32 as the left operand of a product along their columns.
static void left_along(const float* from, int64_t stride, int64_t rows, int64_t columns, Half* left) {
  const int64_t steps = blocks(columns, kSteps);
  for (int64_t r = 0; r < round_up(rows, kSide); r++) {
    Half* to = left + r / kSide * steps * kSplit;
    for (int64_t k = 0; k < steps; k++, to += kSplit) {
      put(to, r % kSide, part_of_row(from + r * stride + k * kSteps, r < rows ? columns - k * kSteps : 0));
    }
  }
}

// Two rows of float32 from row `r`, zeros where there are none.
WALKIES_INLINE Split two_rows(const float* from, int64_t stride, int64_t rows, int64_t r, int64_t count) {
  return split_across(load_some(from + r * stride, r < rows ? count : 0),
                      load_some(from + (r + 1) * stride, r + 1 < rows ? count : 0));
}

// Rows of float32 as the right operand of a product along the rows, which has `steps` blocks of them in all.
static void right_across(const float* from, int64_t stride, int64_t rows, int64_t columns, Half* right,
                         int64_t steps) {
  for (int64_t c = 0; c < columns; c += kSide, right += steps * kSplit) {
    Half* to = right;
    for (int64_t k = 0; k < rows; k += kSteps, to += kSplit) {
      for (int64_t i = 0; i < kSide; i++) put(to, i, two_rows(from + c, stride, rows, k + 2 * i, columns - c));
    }
  }
}

// The 16 rows of 32 bits that `row` gives, transposed.
template <class Row>
WALKIES_INLINE void put_transposed(Half* tile, Row&& row) {
  Lanes high[kSide], low[kSide];
  WALKIES_UNROLL
  for (int64_t i = 0; i < kSide; i++) {
    const Split x = row(i);
    high[i] = (Lanes)x.high, low[i] = (Lanes)x.low;
  }
  transpose_square<kSide / 2>(high);
  transpose_square<kSide / 2>(low);
  for (int64_t i = 0; i < kSide; i++) put(tile, i, {(Pairs)high[i], (Pairs)low[i]});
}

// Rows of float32, transposed, as the left operand of a product along the rows.
static void left_across(const float* from, int64_t stride, int64_t rows, int64_t columns, Half* left) {
  for (int64_t c = 0; c < columns; c += kSide) {
    for (int64_t k = 0; k < rows; k += kSteps, left += kSplit) {
      put_transposed(left, [&](int64_t i) { return two_rows(from + c, stride, rows, k + 2 * i, columns - c); });
    }
  }
}

// Rows of float32, transposed, as the right operand of a product along their columns.
static void right_along(const float* from, int64_t stride, int64_t rows, int64_t columns, Half* right) {
  for (int64_t r = 0; r < rows; r += kSide) {
    for (int64_t k = 0; k < columns; k += kSteps, right += kSplit) {
      put_transposed(right, [&](int64_t i) {
        return part_of_row(from + (r + i) * stride + k, r + i < rows ? columns - k : 0);
      });
    }
  }
}

// Tile registers: 0–3 are sums (rows 0, 0, 1, 1 and columns 0, 1, 0, 1 of tiles), 4 and 5 left, 6 and 7 right. Their
// numbers go into the instructions as they are written.
#define WALKIES_SUMS(what)                                                   \
  what(0, out, stride * 4);                                                  \
  if constexpr (C == 2) what(1, out + kSide, stride * 4);                    \
  if constexpr (R == 2) what(2, out + kSide * stride, stride * 4);           \
  if constexpr (R == 2 && C == 2) what(3, out + kSide * stride + kSide, stride * 4)
#define WALKIES_LEFT(part)            \
  _tile_loadd(4, left + (part), 64);  \
  if constexpr (R == 2) _tile_loadd(5, left + steps * kSplit + (part), 64)
#define WALKIES_RIGHT(part)           \
  _tile_loadd(6, right + (part), 64); \
  if constexpr (C == 2) _tile_loadd(7, right + steps * kSplit + (part), 64)
#define WALKIES_MULTIPLY()                           \
  _tile_dpbf16ps(0, 4, 6);                           \
  if constexpr (C == 2) _tile_dpbf16ps(1, 4, 7);     \
  if constexpr (R == 2) _tile_dpbf16ps(2, 5, 6);     \
  if constexpr (R == 2 && C == 2) _tile_dpbf16ps(3, 5, 7)

// out = left·right, or out += left·right where Add holds: R × C tiles of sums over `steps` blocks of steps.
template <int R, int C, bool Add>
WALKIES_INLINE void multiply(const Half* left, const Half* right, int64_t steps, float* out, int64_t stride) {
  if constexpr (Add) {
    WALKIES_SUMS(_tile_loadd);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  for (int64_t k = 0; k < steps; k++) {
    WALKIES_LEFT(k * kSplit);
    WALKIES_RIGHT(k * kSplit + kTile);
    WALKIES_MULTIPLY();
    WALKIES_RIGHT(k * kSplit);
    WALKIES_MULTIPLY();
    WALKIES_LEFT(k * kSplit + kTile);
    WALKIES_MULTIPLY();
  }
  WALKIES_SUMS(_tile_stored);
}

// The whole product: out (rows × columns, both in whole tiles).
template <bool Add>
static void product(const Half* left, const Half* right, int64_t rows, int64_t columns, int64_t depth, float* out,
                    int64_t stride) {
  const int64_t steps = blocks(depth, kSteps), tile_rows = blocks(rows, kSide), tile_columns = blocks(columns, kSide);
  __asm__ volatile("" ::: "memory");  // the operands lie in memory before a tile is loaded
  for (int64_t r = 0; r < tile_rows; r += 2) {
    for (int64_t c = 0; c < tile_columns; c += 2) {
      const Half *a = left + r * steps * kSplit, *b = right + c * steps * kSplit;
      float* to = out + r * kSide * stride + c * kSide;
      const bool two_rows = r + 1 < tile_rows, two_columns = c + 1 < tile_columns;
      if (two_rows && two_columns) multiply<2, 2, Add>(a, b, steps, to, stride);
      if (two_rows && !two_columns) multiply<2, 1, Add>(a, b, steps, to, stride);
      if (!two_rows && two_columns) multiply<1, 2, Add>(a, b, steps, to, stride);
      if (!two_rows && !two_columns) multiply<1, 1, Add>(a, b, steps, to, stride);
    }
  }
  __asm__ volatile("" ::: "memory");
}

// The processor's tile registers, all of full size, while this lives.
struct Tiles {
  Tiles() {
    struct alignas(64) {
      uint8_t palette = 1, start = 0, reserved[14] = {};
      uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    } config;
    __asm__ volatile("" : "+m"(config));
    _tile_loadconfig(&config);
  }
  ~Tiles() { _tile_release(); }
};

// What a chunk of samples needs while it runs through the layers.
struct Scratch {
  Half *left, *right;
  float *sums, *delta;
  int64_t stride;  // of sums and delta

  Scratch(const NetworkCall& call, int64_t rows) {
    int64_t widest = 0, inputs = 0;
    for (int64_t l = 0; l < call.layers; l++) {
      widest = widest < call.layer[l].outputs ? call.layer[l].outputs : widest;
      inputs = inputs < call.layer[l].inputs ? call.layer[l].inputs : inputs;
    }
    widest = widest < inputs ? inputs : widest;
    stride = round_up(widest, 2 * kSide) + kSide;
    const int64_t operand = operand_size(round_up(widest, 2 * kSide), rows);
    left = static_cast<Half*>(aligned_alloc(64, size_t(2 * operand * 2 + 2 * rows * stride * 4)));
    right = left + operand;
    sums = reinterpret_cast<float*>(right + operand);
    delta = sums + rows * stride;
  }
  ~Scratch() { free(left); }
};

// Weights as the right operand of the product forwards, and of the one back.
struct Operands {
  static int64_t size(const Layer& layer, bool transposed) {
    return transposed ? operand_size(layer.inputs, layer.outputs) / 2 : operand_size(layer.outputs, layer.inputs) / 2;
  }
  static void pack(const Layer& layer, bool transposed, float* packed, int64_t first, int64_t stop) {
    static_assert(kPackedRows % kSteps == 0 && kPackedRows % kSide == 0);
    const float* weights = layer.weights + first * layer.outputs;
    Half* to = reinterpret_cast<Half*>(packed);
    if (transposed) {
      to += operand_size(first, layer.outputs);
      right_along(weights, layer.outputs, stop - first, layer.outputs, to);
    } else {
      to += operand_size(1, first);
      right_across(weights, layer.outputs, stop - first, layer.outputs, to, blocks(layer.inputs, kSteps));
    }
  }
};

template <int64_t A>
static void forward_chunk(const NetworkCall& call, const float* packed, int64_t chunk) {
  const Tiles tiles;
  const Scratch scratch(call, kChunk);
  const int64_t begin = chunk * kChunk, width = call.hidden_width();
  const int64_t rows = call.samples - begin < kChunk ? call.samples - begin : kChunk;
  const float* in = call.inputs + begin * call.layer[0].inputs;
  int64_t in_row = call.layer[0].inputs;
  for (int64_t l = 0; l < call.layers; l++) {
    const Layer& layer = call.layer[l];
    left_along(in, in_row, rows, layer.inputs, scratch.left);
    product<false>(scratch.left, reinterpret_cast<const Half*>(packed), rows, layer.outputs, layer.inputs,
                   scratch.sums, scratch.stride);
    const bool last = l + 1 == call.layers;
    // Activations that nobody wants to keep take the place of what they came from.
    float* out = last          ? call.outputs + begin * layer.outputs
                 : call.hidden ? call.hidden + begin * width + call.hidden_offset(l)
                               : scratch.delta;
    const int64_t out_row = last ? layer.outputs : call.hidden ? width : scratch.stride;
    for (int64_t c = 0; c < layer.outputs; c += kSide) {
      const Lanes bias = load_some(layer.bias + c, layer.outputs - c);
      for (int64_t r = 0; r < rows; r++) {
        Lanes y = load(scratch.sums + r * scratch.stride + c) + bias;
        if (!last) y = activate<A>(y);
        store_some(out + r * out_row + c, y, layer.outputs - c);
      }
    }
    packed += Operands::size(layer, false);
    in = out, in_row = out_row;
  }
}

template <int64_t A>
static void backward_rows(const NetworkCall& call, const float* packed, float* sums, int64_t first, int64_t stop,
                          bool add) {
  const Tiles tiles;
  const Scratch scratch(call, kBackwardChunk);
  const int64_t total = int64_t(partial_size<kSide>(call)), stride = scratch.stride, width = call.hidden_width();
  float* delta = scratch.delta;
  if (first >= stop && !add) {
    for (int64_t i = 0; i < total; i++) sums[i] = 0.0f;
  }
  for (int64_t begin = first; begin < stop; begin += kBackwardChunk, add = true) {
    const int64_t rows = stop - begin < kBackwardChunk ? stop - begin : kBackwardChunk;
    const int64_t outputs = call.layer[call.layers - 1].outputs;
    for (int64_t r = 0; r < rows; r++) {
      const float* from = call.output_gradient + (begin + r) * outputs;
      for (int64_t c = 0; c < outputs; c += kSide) store(delta + r * stride + c, load_some(from + c, outputs - c));
    }
    float* layer_sums = sums + total;
    const float* layer_packed = packed + packed_size<Operands>(call, true);
    for (int64_t l = call.layers - 1; l >= 0; l--) {
      const Layer& layer = call.layer[l];
      const float* in = l == 0 ? call.inputs + begin * layer.inputs
                               : call.hidden + begin * width + call.hidden_offset(l - 1);
      const int64_t in_row = l == 0 ? layer.inputs : width, columns = panelled(layer.outputs);
      layer_sums -= partial_layer<kSide>(layer);
      left_across(in, in_row, rows, layer.inputs, scratch.left);
      right_across(delta, stride, rows, layer.outputs, scratch.right, blocks(rows, kSteps));
      const auto add_product = add ? product<true> : product<false>;
      add_product(scratch.left, scratch.right, layer.inputs, layer.outputs, rows, layer_sums, columns);
      float* bias = layer_sums + round_up(layer.inputs, kSide) * columns;
      for (int64_t c = 0; c < columns; c += kSide) {
        Lanes sum = add ? load(bias + c) : Lanes{};
        for (int64_t r = 0; r < rows; r++) sum += load(delta + r * stride + c);
        store(bias + c, sum);
      }
      if (l == 0) break;
      layer_packed -= Operands::size(layer, true);
      left_along(delta, stride, rows, layer.outputs, scratch.left);
      product<false>(scratch.left, reinterpret_cast<const Half*>(layer_packed), rows, layer.inputs, layer.outputs,
                     scratch.sums, stride);
      for (int64_t c = 0; c < layer.inputs; c += kSide) {
        for (int64_t r = 0; r < rows; r++) {
          const Lanes y = load_some(in + r * in_row + c, layer.inputs - c);
          store(delta + r * stride + c, load(scratch.sums + r * stride + c) * slope<A>(y));
        }
      }
    }
  }
}

static void forward(const NetworkCall& call, const float* packed, int64_t chunk) {
  with_activation(call.activation, [&]<int64_t A>() { forward_chunk<A>(call, packed, chunk); });
}

static void backward(const NetworkCall& call, const float* packed, float* sums, int64_t first, int64_t stop, bool add) {
  with_activation(call.activation, [&]<int64_t A>() { backward_rows<A>(call, packed, sums, first, stop, add); });
}

extern const NetworkKernel networks = {WALKIES_STRING(WALKIES_NS), kChunk, kBackwardChunk, kSide,
                                       packed_size<Operands>, partial_size<kSide>, pack<Operands>, forward, backward,
                                       sum<kSide>};

}  // namespace walkies::WALKIES_NS
