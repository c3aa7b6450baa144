#include "model/layer_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <sstream>

#include "base/error.h"

namespace cifar {

LayerText::LayerText(const std::string& text, int64_t index, const Shape& input,
                     const std::vector<Shape>& residuals, int64_t most_weights)
    : subject_(fmt::format("layer {} (\"{}\")", index, text)),
      index_(index),
      input_(input),
      residuals_(residuals),
      most_weights_(most_weights) {
  std::istringstream stream(text);
  for (std::string word; stream >> word;) words_.push_back(word);
  name_ = word("a layer");
}

std::string LayerText::word(const std::string& expected) {
  if (words_.empty()) refuse("nothing after the name", expected);
  std::string first = words_.front();
  words_.erase(words_.begin());
  return first;
}

int64_t LayerText::integer(const std::string& what, int64_t least) {
  return to_integer(word(what), what, least);
}

double LayerText::number(const std::string& what) {
  return to_number(word(what), what);
}

double LayerText::fraction(const std::string& what) {
  const std::string text = word(what);
  const size_t slash = text.find('/');
  const double above = to_number(text.substr(0, slash), what);
  if (slash == std::string::npos) return above;
  const double quotient = above / to_number(text.substr(slash + 1), what);
  if (!std::isfinite(quotient)) refuse("\"" + text + "\"", what + ", a finite number");
  return quotient;
}

bool LayerText::flag(const std::string& word) {
  const auto found = std::find(words_.begin(), words_.end(), word);
  if (found == words_.end()) return false;
  words_.erase(found);
  return true;
}

int64_t LayerText::option(const std::string& word, int64_t fallback, int64_t least) {
  const auto found = std::find(words_.begin(), words_.end(), word);
  if (found == words_.end()) return fallback;
  if (found + 1 == words_.end()) refuse("nothing after \"" + word + "\"", "a number");
  const int64_t value = to_integer(found[1], word, least);
  words_.erase(found, found + 2);
  return value;
}

double LayerText::option(const std::string& word, double fallback) {
  const auto found = std::find(words_.begin(), words_.end(), word);
  if (found == words_.end()) return fallback;
  if (found + 1 == words_.end()) refuse("nothing after \"" + word + "\"", "a number");
  const double value = to_number(found[1], word);
  words_.erase(found, found + 2);
  return value;
}

void LayerText::done() {
  if (!words_.empty()) refuse("\"" + words_.front() + "\"", "the end of the layer");
}

void LayerText::refuse(const std::string& found, const std::string& expected,
                       std::source_location where) const {
  throw Error(ExitCode::kUsage, subject_, found, expected, where);
}

int64_t LayerText::to_integer(const std::string& word, const std::string& what,
                              int64_t least) const {
  constexpr int64_t kMost = 1 << 20;
  int64_t value = 0;
  const auto [end, status] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (status != std::errc() || end != word.data() + word.size() || value < least || value > kMost) {
    refuse("\"" + word + "\"", fmt::format("{}, an integer from {} to {}", what, least, kMost));
  }
  return value;
}

double LayerText::to_number(const std::string& word, const std::string& what) const {
  double value = 0;
  const auto [end, status] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (status != std::errc() || end != word.data() + word.size() || !std::isfinite(value)) {
    refuse("\"" + word + "\"", what + ", a number");
  }
  return value;
}

}  // namespace cifar
