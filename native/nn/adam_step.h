// The settings of one Adam step (Kingma & Ba 2015, algorithm 1).
#pragma once

#include <cmath>

#include "adam_call.h"

namespace walkies {

struct AdamConstants {
  float max_norm, epsilon;
  double first_decay, second_decay;
};

// squares: sum of the gradient's squares. number: of this step, from 1.
inline AdamSettings adam_settings(const AdamConstants& with, double squares, float rate, int32_t number) {
  const float norm = float(std::sqrt(squares));
  const double t = number;
  return {norm < with.max_norm ? 1.0f : with.max_norm / norm,
          rate,
          float(with.first_decay),
          float(with.second_decay),
          float(1.0 - with.first_decay),
          float(1.0 - with.second_decay),
          float(1.0 / (1.0 - std::pow(with.first_decay, t))),
          float(1.0 / (1.0 - std::pow(with.second_decay, t))),
          with.epsilon};
}

}  // namespace walkies
