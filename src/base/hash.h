// A 128-bit content hash (XXH3 of the xxHash library), for weights and for files. It finds damage
// and difference; it is no defence against an attacker.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace cifar {

class Hasher {
 public:
  Hasher();
  ~Hasher();
  void update(const void* bytes, size_t size);
  // 32 hex digits of all that was given so far.
  std::string digest() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string hash_of(std::string_view bytes);

}  // namespace cifar
