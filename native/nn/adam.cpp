// Adam (Kingma & Ba 2015, algorithm 1) for one instruction set.
#include "../common/vectors.h"
#include "adam_call.h"

namespace walkies::WALKIES_NS {

// Call f(at, numbers) for whole vectors and for what is left, at most a vector long.
template <class F>
WALKIES_INLINE void over_vectors(int64_t count, F&& f) {
  int64_t at = 0;
  for (; at + WALKIES_LANES <= count; at += WALKIES_LANES) f(at, WALKIES_LANES);
  if (at < count) f(at, count - at);
}

static double squares(const float* gradient, int64_t count) {
  Lanes sum = {};
  over_vectors(count, [&](int64_t at, int64_t numbers) {
    const Lanes g = load_some(gradient + at, numbers);
    sum += g * g;
  });
  double total = 0.0;
  for (int64_t i = 0; i < WALKIES_LANES; i++) total += double(sum[i]);
  return total;
}

static void step(const AdamSettings& with, int64_t count, const float* gradient, const float* params,
                 const float* first, const float* second, float* params_out, float* first_out, float* second_out) {
  over_vectors(count, [&](int64_t at, int64_t numbers) {
    const Lanes g = load_some(gradient + at, numbers) * with.scale;
    const Lanes m = with.first_decay * load_some(first + at, numbers) + with.first_rest * g;
    const Lanes v = with.second_decay * load_some(second + at, numbers) + with.second_rest * (g * g);
    const Lanes direction = m * with.first_share / (sqrt(v * with.second_share) + with.epsilon);
    store_some(params_out + at, load_some(params + at, numbers) - with.rate * direction, numbers);
    store_some(first_out + at, m, numbers);
    store_some(second_out + at, v, numbers);
  });
}

extern const AdamKernel adam = {WALKIES_STRING(WALKIES_NS), squares, step};

}  // namespace walkies::WALKIES_NS
