#include "train/pickle_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <stdexcept>
#include <utility>

#include "train/little_endian.h"

namespace cifar {

void PickleReader::refuse(const std::string& what) {
  throw std::runtime_error("its pickle has " + what);
}

uint64_t PickleReader::number(size_t width) {
  const uint64_t number = little_endian(pickle_, position_, width);
  position_ += width;
  return number;
}

// In two's complement, of as many bytes as it takes.
PickleReader::Value PickleReader::long_integer(uint64_t bytes) {
  if (bytes == 0) return int64_t{0};
  if (bytes > sizeof(int64_t)) {
    text(bytes);
    return Opaque{"an integer of more than 8 bytes"};
  }
  const size_t missing = 8 * (sizeof(int64_t) - bytes);
  return static_cast<int64_t>(number(bytes) << missing) >> missing;
}

std::string_view PickleReader::text(uint64_t size) {
  const std::string_view text = piece_of(pickle_, position_, size);
  position_ += size;
  return text;
}

std::string_view PickleReader::line() {
  const size_t end = pickle_.find('\n', position_);
  if (end == std::string_view::npos) refuse("a line without an end");
  const std::string_view line = text(end - position_);
  ++position_;
  return line;
}

// "12", "12L", or "00" and "01" for false and true.
PickleReader::Value PickleReader::integer_line() {
  const std::string_view digits = line();
  if (digits == "00" || digits == "01") return digits == "01";
  int64_t integer = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), integer);
  if (error != std::errc()) return Opaque{"an integer of more than 8 bytes"};
  return integer;
}

void PickleReader::count_values(size_t more) {
  count_ += more;
  if (count_ > kMostValues) refuse(fmt::format("more than {} values", kMostValues));
}

void PickleReader::push(Value value) {
  count_values(1);
  stack_.push_back(value);
}

void PickleReader::push_new(Kind kind, List values) {
  push(Ref{kind, pool_.size()});
  pool_.push_back(std::move(values));
}

PickleReader::Value PickleReader::pop() {
  if (stack_.empty()) refuse("too few values");
  const Value value = stack_.back();
  stack_.pop_back();
  return value;
}

PickleReader::List PickleReader::pop_to_mark() {
  size_t mark = stack_.size();
  do {
    if (mark == 0) refuse("no mark");
    --mark;
  } while (!std::holds_alternative<Mark>(stack_[mark]));
  const auto first = stack_.begin() + static_cast<int64_t>(mark);
  List values(first + 1, stack_.end());
  stack_.erase(first, stack_.end());
  return values;
}

// Python and PyTorch number what they put from 0 on.
void PickleReader::put(uint64_t index) {
  if (index != memo_.size()) refuse("a memo out of order");
  if (stack_.empty()) refuse("too few values");
  count_values(1);
  memo_.push_back(stack_.back());
}

void PickleReader::get_memo(uint64_t index) {
  if (index >= memo_.size()) refuse("a memo that is not there");
  push(memo_[index]);
}

// To what is on top of the stack. What an object that is not understood is given is dropped.
void PickleReader::add_to(Kind kind, List values) {
  if (stack_.empty()) refuse("too few values");
  if (kind == Kind::kDict && values.size() % 2 != 0) refuse("half an item");
  const Ref* ref = std::get_if<Ref>(&stack_.back());
  if (ref == nullptr) refuse("items of no list or dict");
  if (ref->kind == Kind::kObject || ref->kind == Kind::kCall) return;
  if (ref->kind != kind) refuse("items of no list or dict");
  std::ranges::move(values, std::back_inserter(pool_[ref->index]));
}

// Dicts by another name are known as such; all else stays a name and arguments.
void PickleReader::call(Kind kind, Value callee, Value arguments) {
  if (is_global(callee, "collections", "OrderedDict") ||
      is_global(callee, "collections", "defaultdict")) {
    return push_new(Kind::kDict, {});
  }
  push_new(kind, {callee, arguments});
}

}  // namespace cifar
