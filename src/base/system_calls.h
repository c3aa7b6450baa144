// Calls of the system as their manual pages ask for them: one that a signal broke off is made
// again.
#pragma once

#include <cerrno>
#include <cstddef>
#include <string_view>

namespace cifar {

// `call` returns a negative number and sets errno when it fails.
template <typename Call>
auto uninterrupted(const Call& call) {
  for (;;) {
    const auto result = call();
    if (result >= 0 || errno != EINTR) return result;
  }
}

// Writes until all is written or an error, which is then in errno; how many bytes were. Waits where
// the descriptor was set not to.
size_t write_bytes(int descriptor, std::string_view bytes);

}  // namespace cifar
