#include "train/pickle_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <iterator>
#include <stdexcept>
#include <utility>

#include "train/little_endian.h"

namespace cifar {

void PickleReader::refuse(const std::string& what) {
  throw std::runtime_error("its pickle has " + what);
}

const PickleReader::Value& PickleReader::at(const Dict& dict, const std::string& key) {
  const auto found = dict.find(key);
  if (found == dict.end()) refuse("no \"" + key + "\"");
  return found->second;
}

uint64_t PickleReader::number(size_t width) {
  const uint64_t number = little_endian(pickle_, position_, width);
  position_ += width;
  return number;
}

// In two's complement, of as many bytes as it takes.
int64_t PickleReader::long_integer(size_t bytes) {
  if (bytes > sizeof(int64_t)) refuse("an integer of more than 8 bytes");
  if (bytes == 0) return 0;
  const size_t missing = 8 * (sizeof(int64_t) - bytes);
  return static_cast<int64_t>(number(bytes) << missing) >> missing;
}

std::string_view PickleReader::text(size_t size) {
  const std::string_view text = piece_of(pickle_, position_, size);
  position_ += size;
  return text;
}

std::string PickleReader::line() {
  const size_t end = pickle_.find('\n', position_);
  if (end == std::string_view::npos) refuse("a line without an end");
  const std::string_view line = text(end - position_);
  ++position_;
  return std::string(line);
}

PickleReader::Value PickleReader::pop() {
  if (stack_.empty()) refuse("too few values");
  Value value = std::move(stack_.back());
  stack_.pop_back();
  return value;
}

PickleReader::Tuple PickleReader::pop_to_mark() {
  size_t mark = stack_.size();
  do {
    if (mark == 0) refuse("no mark");
    --mark;
  } while (!std::holds_alternative<Mark>(stack_[mark]));
  Tuple values(std::make_move_iterator(stack_.begin() + static_cast<int64_t>(mark) + 1),
               std::make_move_iterator(stack_.end()));
  stack_.resize(mark);
  return values;
}

void PickleReader::push_tuple(Tuple values) {
  tuples_.push_back(std::move(values));
  stack_.emplace_back(TupleId{tuples_.size() - 1});
}

const PickleReader::Dict& PickleReader::read() {
  pickle_ = records_.contains("data.pkl") ? records_.at("data.pkl") : std::string_view();
  for (;;) {
    const auto opcode = static_cast<uint8_t>(number(1));
    if (opcode == '.') break;
    run(opcode);
  }
  return dicts_[as<DictId>(pop(), "a whole").index];
}

void PickleReader::run(uint8_t opcode) {
  if (!run_atom(opcode) && !run_tuple(opcode) && !run_structure(opcode)) {
    refuse(fmt::format("opcode {:#04x}", opcode));
  }
}

// Numbers, texts and None; false for another opcode.
bool PickleReader::run_atom(uint8_t opcode) {
  switch (opcode) {
    case 0x80:  // PROTO
      if (number(1) != 2) refuse("another protocol than 2");
      return true;
    case 'N':  // NONE
      stack_.emplace_back(None{});
      return true;
    case 0x88:  // NEWTRUE
    case 0x89:  // NEWFALSE
      stack_.emplace_back(opcode == 0x88);
      return true;
    case 'J':  // BININT
      stack_.emplace_back(int64_t{static_cast<int32_t>(number(4))});
      return true;
    case 'K':  // BININT1
    case 'M':  // BININT2
      stack_.emplace_back(static_cast<int64_t>(number(opcode == 'K' ? 1 : 2)));
      return true;
    case 0x8a:  // LONG1
      stack_.emplace_back(long_integer(number(1)));
      return true;
    case 'G':  // BINFLOAT, the highest byte first
      stack_.emplace_back(std::bit_cast<double>(__builtin_bswap64(number(8))));
      return true;
    case 'X':  // BINUNICODE
      stack_.emplace_back(std::string(text(number(4))));
      return true;
    case 'c': {  // GLOBAL
      const std::string module = line();
      stack_.emplace_back(Global{module + " " + line()});
      return true;
    }
    default:
      return false;
  }
}

// Tuples, and lists, which are kept alike.
bool PickleReader::run_tuple(uint8_t opcode) {
  switch (opcode) {
    case '(':  // MARK
      stack_.emplace_back(Mark{});
      return true;
    case 't':  // TUPLE
      push_tuple(pop_to_mark());
      return true;
    case ')':  // EMPTY_TUPLE
    case ']':  // EMPTY_LIST
      push_tuple({});
      return true;
    case 0x85:    // TUPLE1
    case 0x86:    // TUPLE2
    case 0x87: {  // TUPLE3
      Tuple values(opcode - 0x84);
      for (auto value = values.rbegin(); value != values.rend(); ++value) *value = pop();
      push_tuple(std::move(values));
      return true;
    }
    case 'a':  // APPEND
      append({pop()});
      return true;
    case 'e':  // APPENDS
      append(pop_to_mark());
      return true;
    default:
      return false;
  }
}

bool PickleReader::run_structure(uint8_t opcode) {
  switch (opcode) {
    case '}':  // EMPTY_DICT
      dicts_.emplace_back();
      stack_.emplace_back(DictId{dicts_.size() - 1});
      return true;
    case 's': {  // SETITEM
      Value value = pop();
      set_items({pop(), std::move(value)});
      return true;
    }
    case 'u':  // SETITEMS
      set_items(pop_to_mark());
      return true;
    case 0x81:  // NEWOBJ
      pop();
      refuse("an object of " + as<Global>(pop(), "a class").name.substr(0, 80));
    case 'b':  // BUILD: attributes, such as the _metadata of a state dict
      pop();
      return true;
    case 'q':  // BINPUT
    case 'r':  // LONG_BINPUT
      put(number(opcode == 'q' ? 1 : 4));
      return true;
    case 'h':  // BINGET
    case 'j':  // LONG_BINGET
      get_memo(number(opcode == 'h' ? 1 : 4));
      return true;
    case 'Q':  // BINPERSID
      load_storage();
      return true;
    case 'R':  // REDUCE
      reduce();
      return true;
    default:
      return false;
  }
}

// PyTorch numbers what it puts from 0 on.
void PickleReader::put(uint64_t index) {
  if (index != memo_.size()) refuse("a memo out of order");
  if (stack_.empty()) refuse("too few values");
  memo_.push_back(stack_.back());
}

void PickleReader::get_memo(uint64_t index) {
  if (index >= memo_.size()) refuse("a memo that is not there");
  stack_.push_back(memo_[index]);
}

void PickleReader::set_items(Tuple items) {
  if (stack_.empty() || items.size() % 2 != 0) refuse("half an item");
  Dict& dict = dicts_[as<DictId>(stack_.back(), "a dict").index];
  for (size_t i = 0; i < items.size(); i += 2) {
    const auto* number = std::get_if<int64_t>(&items[i]);
    dict[number ? std::to_string(*number) : as<std::string>(items[i], "a key")] =
        std::move(items[i + 1]);
  }
}

void PickleReader::append(Tuple items) {
  if (stack_.empty()) refuse("too few values");
  Tuple& list = tuples_[as<TupleId>(stack_.back(), "a list").index];
  std::ranges::move(items, std::back_inserter(list));
}

}  // namespace cifar
