// Takes one line of the layer list apart ("conv 64 kernel 5"), word by word, and words the errors.
#pragma once

#include <cstdint>
#include <source_location>
#include <string>
#include <vector>

#include "model/layer.h"

namespace cifar {

class LayerText {
 public:
  LayerText(const std::string& text, int64_t index, const Shape& input,
            const std::vector<Shape>& residuals, int64_t most_weights);

  const std::string& name() const { return name_; }
  const Shape& input() const { return input_; }
  int64_t index() const { return index_; }
  const std::vector<Shape>& residuals() const { return residuals_; }  // see make_layer

  int64_t most_weights() const { return most_weights_; }

  // The next word, which must be there.
  std::string word(const std::string& expected);
  // The next word as an integer from `least` to 2^20.
  int64_t integer(const std::string& what, int64_t least);
  double number(const std::string& what);
  // The next word as a number or as one divided by another, "1/256".
  double fraction(const std::string& what);
  // Takes "WORD" (or "WORD NUMBER") from anywhere in the rest of the line.
  bool flag(const std::string& word);
  int64_t option(const std::string& word, int64_t fallback, int64_t least);
  double option(const std::string& word, double fallback);
  // Every word must have been taken by now.
  void done();

  [[noreturn]] void refuse(const std::string& found, const std::string& expected,
                           std::source_location where = std::source_location::current()) const;

 private:
  int64_t to_integer(const std::string& word, const std::string& what, int64_t least) const;
  double to_number(const std::string& word, const std::string& what) const;

  std::string subject_;
  std::string name_;
  std::vector<std::string> words_;
  int64_t index_;
  Shape input_;
  const std::vector<Shape>& residuals_;
  int64_t most_weights_;
};

}  // namespace cifar
