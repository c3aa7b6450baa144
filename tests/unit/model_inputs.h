// What the tests of layers and networks give them.
#pragma once

#include "model/layer.h"

namespace cifar {

inline const Shape kImage{3, 32, 32};
inline const Pass kTraining{true, nullptr, {}};

}  // namespace cifar
