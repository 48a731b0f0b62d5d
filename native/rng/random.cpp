// Random numbers for one instruction set: those of JAX's default generator, a vector at a time.
//
// Threefry-2x32 with 20 rounds (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") enciphers the index
// of a number under the key; the two words that come out are one word by exclusive or. So every number can be had
// without those before it, and does not depend on threads or vectors.
#include "../common/vectors.h"
#include "random_call.h"

namespace walkies::WALKIES_NS {

typedef uint32_t Words __attribute__((vector_size(4 * WALKIES_LANES)));
typedef uint32_t LooseWords __attribute__((vector_size(4 * WALKIES_LANES), aligned(4), may_alias));

constexpr int kStreams = 4;  // vectors side by side: each round waits for the one before
constexpr int64_t kStep = kStreams * WALKIES_LANES;

WALKIES_INLINE Words rotated(Words x, int by) { return (x << by) | (x >> (32 - by)); }

struct Key {
  uint32_t word[3];
  explicit Key(const uint32_t* key) : word{key[0], key[1], key[0] ^ key[1] ^ 0x1bd11bda} {}
};

// The words of numbers first, first + 1, …
WALKIES_INLINE void threefry(const Key& key, uint64_t first, Words (&out)[kStreams]) {
  constexpr int kRotation[2][4] = {{13, 15, 26, 6}, {17, 29, 16, 24}};
  Words a[kStreams], b[kStreams];
  for (int s = 0; s < kStreams; s++) {
    for (int i = 0; i < WALKIES_LANES; i++) {
      const uint64_t index = first + uint64_t(s * WALKIES_LANES + i);
      a[s][i] = uint32_t(index >> 32), b[s][i] = uint32_t(index);
    }
    a[s] += key.word[0], b[s] += key.word[1];
  }
  WALKIES_UNROLL
  for (int group = 0; group < 5; group++) {
    WALKIES_UNROLL
    for (int round = 0; round < 4; round++) {
      WALKIES_UNROLL
      for (int s = 0; s < kStreams; s++) {
        a[s] += b[s];
        b[s] = rotated(b[s], kRotation[group % 2][round]) ^ a[s];
      }
    }
    for (int s = 0; s < kStreams; s++) {
      a[s] += key.word[(group + 1) % 3];
      b[s] += key.word[(group + 2) % 3] + uint32_t(group + 1);
    }
  }
  for (int s = 0; s < kStreams; s++) out[s] = a[s] ^ b[s];
}

// In [0, 1): 23 bits become the fraction of a number in [1, 2).
WALKIES_INLINE Lanes uniform(Words bits) { return (Lanes)((bits >> 9) | 0x3f800000u) - 1.0f; }

// c[0] xⁿ⁻¹ + … + c[n − 1]
template <int N>
WALKIES_INLINE Lanes polynomial(const float (&c)[N], Lanes x) {
  Lanes p = splat<Lanes>(c[0]);
  WALKIES_UNROLL
  for (int i = 1; i < N; i++) p = p * x + c[i];
  return p;
}

// Natural logarithm of normal numbers: Cephes' logf.
WALKIES_INLINE Lanes log(Lanes x) {
  constexpr float c[] = {7.0376836292e-2f, -1.1514610310e-1f, 1.1676998740e-1f, -1.2420140846e-1f, 1.4249322787e-1f,
                         -1.6668057665e-1f, 2.0000714765e-1f, -2.4999993993e-1f, 3.3333331174e-1f};
  const LaneMask exponent = ((LaneMask)x - 0x3f3504f3) >> 23;  // of x / √½, so that the rest lies in [√½, √2)
  const Lanes e = __builtin_convertvector(exponent, Lanes);
  const Lanes r = (Lanes)((LaneMask)x - (exponent << 23)) - 1.0f, r2 = r * r;
  return r + (r * r2 * polynomial(c, r) - 2.12194440e-4f * e - 0.5f * r2) + 0.693359375f * e;
}

// Inverse error function on (−1, 1) (Giles 2010, "Approximating the erfinv function"), as XLA has it.
WALKIES_INLINE Lanes erf_inv(Lanes x) {
  constexpr float near[] = {2.81022636e-08f,  3.43273939e-07f,  -3.5233877e-06f, -4.39150654e-06f, 0.00021858087f,
                            -0.00125372503f, -0.00417768164f, 0.246640727f,    1.50140941f};
  constexpr float far[] = {-0.000200214257f, 0.000100950558f, 0.00134934322f, -0.00367342844f, 0.00573950773f,
                           -0.0076224613f,   0.00943887047f,  1.00167406f,    2.83297682f};
  const Lanes w = -log((1.0f - x) * (1.0f + x));
  return x * (w < 5.0f ? polynomial(near, w - 2.5f) : polynomial(far, sqrt(w) - 3.0f));
}

WALKIES_INLINE Lanes normal(Words bits) {
  const float lowest = -0.99999994f;  // the number after −1: erf_inv is infinite there
  return 1.41421356f * erf_inv(max(uniform(bits) * 2.0f + lowest, splat<Lanes>(lowest)));
}

template <int64_t Kind>
static void fill_kind(const Key& key, int64_t begin, int64_t end, uint32_t* out) {
  for (int64_t at = begin; at < end; at += kStep) {
    Words words[kStreams];
    threefry(key, uint64_t(at), words);
    for (int s = 0; s < kStreams; s++) {
      const int64_t to = at + s * WALKIES_LANES, left = end - to;
      Words numbers = words[s];
      if constexpr (Kind == kUniform) numbers = (Words)uniform(words[s]);
      if constexpr (Kind == kNormal) numbers = (Words)normal(words[s]);
      if (left >= WALKIES_LANES) {
        *reinterpret_cast<LooseWords*>(out + to) = numbers;
      } else {
        for (int64_t i = 0; i < left; i++) out[to + i] = numbers[i];
      }
    }
  }
}

static void fill(int64_t kind, const uint32_t* key, int64_t begin, int64_t end, uint32_t* out) {
  const Key expanded(key);
  if (kind == kBits) fill_kind<kBits>(expanded, begin, end, out);
  if (kind == kUniform) fill_kind<kUniform>(expanded, begin, end, out);
  if (kind == kNormal) fill_kind<kNormal>(expanded, begin, end, out);
}

extern const RandomKernel random_numbers = {WALKIES_STRING(WALKIES_NS), fill};

}  // namespace walkies::WALKIES_NS
