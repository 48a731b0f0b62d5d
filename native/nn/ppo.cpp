// The losses of PPO and their gradients for one instruction set: a sample per lane.
#include "../common/transpose.h"
#include "../common/vectors.h"
#include "functions.h"
#include "ppo_call.h"

namespace walkies::WALKIES_NS {

constexpr float kLogSqrtTwoPi = 0.918938533204672742f;

static double total(Lanes x) {
  double sum = 0.0;
  for (int64_t i = 0; i < WALKIES_LANES; i++) sum += double(x[i]);
  return sum;
}

// Where the samples of the lanes lie. Lanes without one have the last one's again, and count as nothing.
struct Places {
  int64_t used, row[WALKIES_LANES];

  Places(const int32_t* rows, int64_t first, int64_t stop) {
    used = stop - first < WALKIES_LANES ? stop - first : WALKIES_LANES;
    for (int64_t i = 0; i < WALKIES_LANES; i++) {
      const int64_t at = i < used ? first + i : stop - 1;
      row[i] = rows ? rows[at] : at;
    }
  }

  Lanes numbers(const float* data) const {
    Lanes x;
    for (int64_t i = 0; i < WALKIES_LANES; i++) x[i] = data[row[i]];
    return x;
  }

  Lanes weights(const float* data) const {
    Lanes x = numbers(data);
    for (int64_t i = used; i < WALKIES_LANES; i++) x[i] = 0.0f;
    return x;
  }

  // out[c]: number c of every lane's row.
  void columns(const float* data, int64_t count, Lanes* out) const {
    for (int64_t c = 0; c < count; c += WALKIES_LANES) {
      Lanes block[WALKIES_LANES];
      WALKIES_UNROLL
      for (int i = 0; i < WALKIES_LANES; i++) block[i] = load_some(data + row[i] * count + c, count - c);
      transpose_square<WALKIES_LANES / 2>(block);
      for (int64_t i = 0; i < WALKIES_LANES && c + i < count; i++) out[c + i] = block[i];
    }
  }

  // The reverse, for the lanes that have a sample.
  void put_columns(const Lanes* in, int64_t count, float* data) const {
    for (int64_t c = 0; c < count; c += WALKIES_LANES) {
      Lanes block[WALKIES_LANES];
      WALKIES_UNROLL
      for (int i = 0; i < WALKIES_LANES; i++) block[i] = c + i < count ? in[c + i] : Lanes{};
      transpose_square<WALKIES_LANES / 2>(block);
      for (int64_t i = 0; i < used; i++) store_some(data + row[i] * count + c, block[i], count - c);
    }
  }
};

static void policy(const PolicyLoss& with, int64_t rows, const int32_t* row, const float* outputs, float* gradient,
                   double* log_std_gradient, PolicySums* sums) {
  const int64_t n = with.actions;
  Lanes* memory = static_cast<Lanes*>(__builtin_alloca_with_align(sizeof(Lanes) * 5 * size_t(n), 512));
  Lanes *mean = memory, *sample = mean + n, *old_mean = sample + n, *z = old_mean + n, *by_log_std = z + n;
  for (int64_t j = 0; j < n; j++) by_log_std[j] = Lanes{};
  Lanes losses = {}, kls = {}, clipped = {};
  for (int64_t r = 0; r < rows; r += WALKIES_LANES) {
    const Places here(nullptr, r, rows), there(row, r, rows);
    here.columns(outputs, n, mean);
    there.columns(with.sample, n, sample);
    there.columns(with.old_mean, n, old_mean);
    Lanes log_prob = {}, kl = {};
    for (int64_t j = 0; j < n; j++) {
      if (with.bounded) mean[j] = activate<kTanh>(mean[j]);
      z[j] = (sample[j] - mean[j]) * with.inverse_std[j];
      log_prob -= 0.5f * z[j] * z[j] + (with.log_std[j] + kLogSqrtTwoPi);
      // In the order of the definition: exactly zero where nothing has moved.
      const Lanes moved = (old_mean[j] - mean[j]) * with.inverse_std[j];
      kl += 0.5f * ((with.ratio[j] + moved * moved) - 1.0f) + with.log_std[j] - with.old_log_std[j];
    }
    const Lanes mask = there.weights(with.mask);
    const Lanes advantage = (there.numbers(with.advantage) - with.shift) * with.scale;
    // e^x as a square: infinite where e^x is.
    const Lanes root = exp(0.5f * (log_prob - there.numbers(with.old_log_prob)));
    const Lanes rho = root * root;
    const Lanes gain = advantage * rho;
    const Lanes limited = advantage * at_most(at_least(rho, 1.0f - with.clip), 1.0f + with.clip);
    // A NaN is no smaller than anything, and has to stay.
    losses -= mask * (gain > limited ? limited : gain);
    kls += mask * kl;
    clipped += mask * keep(abs(rho - 1.0f) > with.clip, splat<Lanes>(1.0f));
    const Lanes by_log_prob = (gain > limited ? Lanes{} : -gain) * (mask * with.share);
    for (int64_t j = 0; j < n; j++) {
      by_log_std[j] += by_log_prob * (z[j] * z[j] - 1.0f);
      Lanes by_mean = by_log_prob * z[j] * with.inverse_std[j];
      if (with.bounded) by_mean *= slope<kTanh>(mean[j]);
      z[j] = by_mean;
    }
    here.put_columns(z, n, gradient);
  }
  for (int64_t j = 0; j < n; j++) log_std_gradient[j] += total(by_log_std[j]);
  sums->loss += total(losses), sums->kl += total(kls), sums->clipped += total(clipped);
}

static void value(const ValueLoss& with, int64_t rows, const int32_t* row, const float* outputs, float* gradient,
                  double* loss) {
  Lanes losses = {};
  for (int64_t r = 0; r < rows; r += WALKIES_LANES) {
    const Places here(nullptr, r, rows), there(row, r, rows);
    const Lanes v = here.numbers(outputs), target = there.numbers(with.target), mask = there.weights(with.mask);
    Lanes error = v - target, squared = 0.5f * error * error;
    if (with.clips) {
      const Lanes old = there.numbers(with.old_value), moved = v - old;
      const Lanes other = old + at_most(at_least(moved, -with.clip), with.clip) - target;
      const Lanes other_squared = 0.5f * other * other;
      const LaneMask inside = abs(moved) <= with.clip, larger = other_squared > squared;
      error = larger ? keep(inside, other) : error;
      squared = larger ? other_squared : squared;
    }
    losses += mask * squared;
    store_some(gradient + r, error * (mask * with.share), here.used);
  }
  *loss += total(losses);
}

extern const LossKernel losses = {WALKIES_STRING(WALKIES_NS), policy, value};

}  // namespace walkies::WALKIES_NS
