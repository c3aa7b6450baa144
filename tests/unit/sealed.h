// A checkpoint's bytes with the line behind them that says their hash.
#pragma once

#include <string>

#include "base/hash.h"

namespace cifar {

inline std::string sealed(const std::string& archive) {
  return archive + "\ncifar-ddp checkpoint hash " + hash_of(archive) + "\n";
}

}  // namespace cifar
