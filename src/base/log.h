// What a person reads while the program runs: rank 0 speaks for all.
#pragma once

#include <string_view>

namespace cifar {

class Log {
 public:
  explicit Log(int rank) : rank_(rank) {}

  // One line on standard output, from rank 0; printable() of the text.
  void line(std::string_view text) const;
  // The text's own lines, likewise: a table, a recipe.
  void lines(std::string_view text) const;
  // One line "cifar-ddp: warning: TEXT" on standard error, from rank 0.
  void warning(std::string_view text) const;

 private:
  int rank_;
};

// One line "cifar-ddp: error: TEXT [CONTEXT]" on standard error, from any rank; of a longer text
// the first line (an Error has one only).
void print_error(std::string_view text, std::string_view context);

}  // namespace cifar
