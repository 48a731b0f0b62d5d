// The kernels of one instruction set; compiled once for each, with its own flags, lane count and namespace.
#include "../common/vectors.h"
#include "block.h"

namespace walkies::WALKIES_NS {

template <class V, int L, int J>
constexpr Kernel<Scalar<V>> kernel() {
  return {L,
          J,
          Number<V>::lanes,
          sizeof(Model<Scalar<V>, L, J>),
          constants_before_spheres<L, J>(),
          load_model<Scalar<V>, L, J>,
          run_block<V, L, J>};
}

static const Kernel<float> single[] = {kernel<Lanes, 4, 3>(), kernel<Lanes, 6, 3>(), kernel<Lanes, 2, 5>(),
                                       kernel<Lanes, 2, 6>()};
#ifdef WALKIES_EXACT
static const Kernel<double> exact[] = {kernel<double, 4, 3>(), kernel<double, 6, 3>(), kernel<double, 2, 5>(),
                                       kernel<double, 2, 6>()};
extern const KernelTable table = {WALKIES_STRING(WALKIES_NS), 4, single, 4, exact};
#else
extern const KernelTable table = {WALKIES_STRING(WALKIES_NS), 4, single, 0, nullptr};
#endif

}  // namespace walkies::WALKIES_NS
