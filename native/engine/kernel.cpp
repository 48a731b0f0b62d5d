// The engine of one instruction set; compiled once for each, with its own flags, lane count and namespace.
#include "../common/vectors.h"
#include "block.h"

namespace walkies::WALKIES_NS {

template <class V>
constexpr Kernel<Scalar<V>> kernel() {
  return {Number<V>::lanes, sizeof(Model<Scalar<V>>), load_model<Scalar<V>>, run_block<V>};
}

#ifdef WALKIES_EXACT
static const Kernel<double> exact = kernel<double>();
extern const KernelTable table = {WALKIES_STRING(WALKIES_NS), kernel<Lanes>(), &exact};
#else
extern const KernelTable table = {WALKIES_STRING(WALKIES_NS), kernel<Lanes>(), nullptr};
#endif

}  // namespace walkies::WALKIES_NS
