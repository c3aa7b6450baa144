// What a person reads while the program runs: rank 0 speaks for all.
#pragma once

#include <string>
#include <string_view>

namespace cifar {

class Log {
 public:
  explicit Log(int rank) : rank_(rank) {}

  // One line on standard output, from rank 0; printable() of the text. A failure holds nothing up:
  // the line is kept and tried again with the next one. Once the reader has closed the pipe nobody
  // misses any.
  void line(std::string_view text) const;
  // The text's own lines, likewise: a table, a recipe.
  void lines(std::string_view text) const;
  // One line "cifar-ddp: warning: TEXT" on standard error, from rank 0.
  void warning(std::string_view text) const;
  // The reason why lines are still not written, after one more try; empty: all are.
  std::string write_failure() const;

 private:
  int rank_;
  mutable std::string unwritten_;
};

// Before anything else in a process. A closed pipe, or a file that may not grow, becomes an error
// of the write instead of a signal that ends the process; a standard stream that is closed leads to
// /dev/null, lest a checkpoint get its number.
void prepare_output();

// On standard output as it is, for what a terminal alone shows; lost when it cannot be written.
void print_text(std::string_view text);

// One line "cifar-ddp: TEXT" on standard error, from any rank; printable() of the text.
void print_message(std::string_view text);

// One line "cifar-ddp: error: TEXT [CONTEXT]" on standard error, from any rank; of a longer text
// the first line (an Error has one only).
void print_error(std::string_view text, std::string_view context);

}  // namespace cifar
