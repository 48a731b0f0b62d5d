// Functions of single numbers that networks and losses are made of, lane by lane.
#pragma once

#include "../common/number.h"
#include "network_call.h"

namespace walkies::WALKIES_NS {

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

}  // namespace walkies::WALKIES_NS
