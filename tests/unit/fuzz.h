// Mutations of valid input for the fuzz tests: the same ones in every run, on every machine.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <random>
#include <sstream>
#include <string>
#include <vector>

namespace cifar {

class Mutator {
 public:
  explicit Mutator(uint64_t seed) : random_(seed) {}

  // Uniform in [0, bound). Not std::uniform_int_distribution, which differs between libraries.
  size_t below(size_t bound) { return static_cast<size_t>(random_() % bound); }
  bool chance(int percent) { return below(100) < static_cast<size_t>(percent); }

  // One to four changes, each at a place of [first, last): a flipped bit, a byte, a number of 1 to
  // 8 bytes as a length field may have it, a piece cut out, doubled, or taken from `donor`.
  std::string mutate(std::string bytes, const std::string& donor, size_t first, size_t last) {
    for (size_t count = 1 + below(4); count > 0; --count) change(bytes, donor, first, last);
    return bytes;
  }

  // One or two words, between spaces, replaced by another of `words` or a small number, put in, or
  // taken out: nearer to something valid.
  std::string reword(const std::string& text, const std::vector<std::string>& words) {
    std::vector<std::string> list = split(text);
    for (size_t count = 1 + below(2); count > 0; --count) {
      const std::string word = chance(50) ? words[below(words.size())] : std::to_string(below(30));
      const auto at = list.begin() + static_cast<int64_t>(below(list.size()));
      switch (below(4)) {
        case 0:
          list.insert(at, word);
          break;
        case 1:
          if (list.size() > 1) list.erase(at);
          break;
        default:
          *at = word;
      }
    }
    std::string result;
    for (const std::string& word : list) result += (result.empty() ? "" : " ") + word;
    return result;
  }

  static std::vector<std::string> split(const std::string& text) {
    std::vector<std::string> words;
    std::istringstream stream(text);
    for (std::string word; std::getline(stream, word, ' ');) words.push_back(word);
    return words;
  }

 private:
  void change(std::string& bytes, const std::string& donor, size_t first, size_t last) {
    last = std::min(last, bytes.size());
    if (first >= last) return;
    const size_t at = first + below(last - first);
    const size_t piece = 1 + below(chance(80) ? 16 : 1024);
    switch (below(6)) {
      case 0:
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(8)));
        break;
      case 1:
        bytes[at] = static_cast<char>(random_());
        break;
      case 2:
        put_number(bytes, at);
        break;
      case 3:
        bytes.erase(at, piece);
        break;
      case 4:
        bytes.insert(at, bytes.substr(at, piece));
        break;
      default:
        const size_t from = below(donor.size());
        bytes.replace(at, chance(50) ? piece : 0, donor.substr(from, piece));
    }
  }

  void put_number(std::string& bytes, size_t at) {
    const uint64_t size = bytes.size();
    const std::array<uint64_t, 14> numbers = {
        0,          1,          0x7f,       0x80,       0xff,  0xffff,   0x7fffffff,
        0x80000000, 0xffffffff, 1ull << 40, ~0ull >> 1, ~0ull, size - 1, size + 1};
    const uint64_t number = numbers[below(numbers.size())];
    const size_t width = std::min(size_t{1} << below(4), bytes.size() - at);
    for (size_t i = 0; i < width; ++i) bytes[at + i] = static_cast<char>(number >> 8 * i);
  }

  std::mt19937_64 random_;
};

}  // namespace cifar
