// Adam's step on all parameters of a network as one XLA custom call.
#include <algorithm>
#include <string>
#include <vector>

#include "../common/ffi.h"
#include "../common/instruction_sets.h"
#include "../common/parallel.h"
#include "adam_step.h"

namespace walkies {

WALKIES_EVERY_ISA(AdamKernel, adam)

namespace {

namespace ffi = xla::ffi;
using F32 = ffi::Buffer<ffi::F32>;

constexpr int64_t kPerPiece = 2048;  // numbers; the same for any number of threads, and so are the sums

// A stretch of one array of parameters and of what belongs to it.
struct Piece {
  int64_t count;
  const float *gradient, *params, *first, *second;
  float *params_out, *first_out, *second_out;
};

ffi::Error wrong(const std::string& what) { return ffi::Error::InvalidArgument("native Adam: " + what); }

// Arguments: step size, number of this step from 1, then all arrays of the gradient, of the parameters, of the first and
// of the second moments. Results: new parameters, first and second moments.
ffi::Error step(ffi::ThreadPool pool, ffi::RemainingArgs args, ffi::RemainingRets rets, float max_norm, float epsilon,
                double first_decay, double second_decay) {
  const AdamKernel* k = WALKIES_CHOSEN(adam);
  if (!k) return wrong("no instruction set; `walkies doctor` says more");
  auto rate = args.get<F32>(0);
  auto number = args.get<ffi::Buffer<ffi::S32>>(1);
  if (rate.has_error()) return rate.error();
  if (number.has_error()) return number.error();
  if (rate->element_count() != 1 || number->element_count() != 1 || rets.size() % 3 != 0 ||
      args.size() != 2 + rets.size() / 3 * 4) {
    return wrong("expected a step size, a count and four sets of arrays");
  }
  const size_t arrays = rets.size() / 3;
  std::vector<Piece> pieces;
  for (size_t i = 0; i < arrays; i++) {
    const float* in[4];
    float* out[3];
    int64_t count = 0;
    for (size_t set = 0; set < 4; set++) {
      auto array = args.get<F32>(2 + set * arrays + i);
      if (array.has_error()) return array.error();
      if (set > 0 && int64_t(array->element_count()) != count) return wrong("arrays do not match");
      count = int64_t(array->element_count()), in[set] = array->typed_data();
    }
    for (size_t set = 0; set < 3; set++) {
      auto array = rets.get<F32>(set * arrays + i);
      if (array.has_error()) return array.error();
      if (int64_t((*array)->element_count()) != count) return wrong("a result does not match");
      out[set] = (*array)->typed_data();
    }
    for (int64_t at = 0; at < count; at += kPerPiece) {
      pieces.push_back({std::min(kPerPiece, count - at), in[0] + at, in[1] + at, in[2] + at, in[3] + at, out[0] + at,
                        out[1] + at, out[2] + at});
    }
  }
  double squares = 0.0;
  for (const Piece& piece : pieces) squares += k->squares(piece.gradient, piece.count);
  const AdamSettings with = adam_settings({max_norm, epsilon, first_decay, second_decay}, squares, *rate->typed_data(),
                                          *number->typed_data());
  in_parallel(pool, int64_t(pieces.size()), 0, [&](int64_t i) {
    const Piece& p = pieces[size_t(i)];
    k->step(with, p.count, p.gradient, p.params, p.first, p.second, p.params_out, p.first_out, p.second_out);
  });
  return ffi::Error::Success();
}

}  // namespace
}  // namespace walkies

WALKIES_EXPORT XLA_FFI_Error* walkies_adam(XLA_FFI_CallFrame* frame) {
  namespace ffi = walkies::ffi;
  static auto* handler = ffi::Ffi::Bind()
                             .Ctx<ffi::ThreadPool>()
                             .RemainingArgs()
                             .RemainingRets()
                             .Attr<float>("max_norm")
                             .Attr<float>("epsilon")
                             .Attr<double>("first_decay")
                             .Attr<double>("second_decay")
                             .To(walkies::step)
                             .release();
  return handler->Call(frame);
}
