// Which networks are used here.
#pragma once

#include "network_call.h"

namespace walkies {

// Matrix tiles where they may be used, else the instruction set in use; null where there is none.
const NetworkKernel* network_kernel();

}  // namespace walkies
