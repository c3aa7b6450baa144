#include "train/pickle_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
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
  if (!run_atom(opcode) && !run_structure(opcode)) {
    refuse(fmt::format("opcode {:#04x}", opcode));
  }
}

// Numbers and texts; false for another opcode.
bool PickleReader::run_atom(uint8_t opcode) {
  switch (opcode) {
    case 0x80:  // PROTO
      if (number(1) != 2) refuse("another protocol than 2");
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
      if (number(1) != 8) refuse("an integer that is not of 8 bytes");
      stack_.emplace_back(static_cast<int64_t>(number(8)));
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

bool PickleReader::run_structure(uint8_t opcode) {
  switch (opcode) {
    case '(':  // MARK
      stack_.emplace_back(Mark{});
      return true;
    case 't':  // TUPLE
      tuples_.push_back(pop_to_mark());
      stack_.emplace_back(TupleId{tuples_.size() - 1});
      return true;
    case ')':  // EMPTY_TUPLE
      tuples_.emplace_back();
      stack_.emplace_back(TupleId{tuples_.size() - 1});
      return true;
    case '}':  // EMPTY_DICT
      dicts_.emplace_back();
      stack_.emplace_back(DictId{dicts_.size() - 1});
      return true;
    case 'u':  // SETITEMS
      set_items();
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

void PickleReader::set_items() {
  Tuple items = pop_to_mark();
  if (stack_.empty() || items.size() % 2 != 0) refuse("half an item");
  Dict& dict = dicts_[as<DictId>(stack_.back(), "a dict").index];
  for (size_t i = 0; i < items.size(); i += 2) {
    dict[as<std::string>(items[i], "a key")] = std::move(items[i + 1]);
  }
}

// ('storage', torch.FloatStorage, '0', 'cpu', 16), the last being the number of elements.
void PickleReader::load_storage() {
  const Tuple& tuple = tuples_[as<TupleId>(pop(), "a storage").index];
  if (tuple.size() != 5 || as<std::string>(tuple[0], "a storage") != "storage" ||
      as<Global>(tuple[1], "a storage").name != "torch FloatStorage") {
    refuse("a storage that is not float32");
  }
  const auto record = records_.find("data/" + as<std::string>(tuple[2], "a storage"));
  if (record == records_.end()) refuse("a tensor without its record");
  if (record->second.size() / sizeof(float) !=
      static_cast<uint64_t>(as<int64_t>(tuple[4], "a storage"))) {
    refuse("a storage of another size than its record");
  }
  stack_.emplace_back(Storage{record->second});
}

void PickleReader::reduce() {
  const Value arguments = pop(), callee = pop();
  const Tuple& tuple = tuples_[as<TupleId>(arguments, "arguments").index];
  const std::string& name = as<Global>(callee, "a callee").name;
  if (name == "torch._utils _rebuild_tensor_v2") {
    stack_.emplace_back(rebuild_tensor(tuple));
  } else if (name == "collections OrderedDict" && tuple.empty()) {
    dicts_.emplace_back();
    stack_.emplace_back(DictId{dicts_.size() - 1});
  } else {
    refuse("a call of " + name.substr(0, 80));
  }
}

std::vector<int64_t> PickleReader::integers(const Value& tuple) const {
  std::vector<int64_t> integers;
  for (const Value& value : tuples_[as<TupleId>(tuple, "a shape").index]) {
    integers.push_back(as<int64_t>(value, "a shape"));
  }
  return integers;
}

// (storage, offset, size, stride, requires_grad, hooks)
torch::Tensor PickleReader::rebuild_tensor(const Tuple& arguments) const {
  if (arguments.size() != 6) refuse("a tensor of another kind");
  const std::string_view bytes = as<Storage>(arguments[0], "a tensor").bytes;
  const auto elements = static_cast<int64_t>(bytes.size() / sizeof(float));
  const int64_t offset = as<int64_t>(arguments[1], "an offset");
  const std::vector<int64_t> sizes = integers(arguments[2]), strides = integers(arguments[3]);
  int64_t last = offset, count = 1;  // the highest index that is used; numbers in the tensor
  bool fits = sizes.size() == strides.size() && offset >= 0 && offset < elements;
  for (size_t i = 0; fits && i < sizes.size(); ++i) {
    fits = sizes[i] > 0 && sizes[i] <= elements / count && strides[i] >= 0 &&
           strides[i] <= elements / std::max<int64_t>(1, sizes[i] - 1);
    if (!fits) break;
    count *= sizes[i];
    last += (sizes[i] - 1) * strides[i];
    fits = last < elements;
  }
  if (!fits) refuse("a tensor that reaches beyond its record");
  const torch::Tensor all = torch::empty({elements});
  std::memcpy(all.mutable_data_ptr(), bytes.data(), all.nbytes());
  return all.as_strided(sizes, strides, offset).contiguous();
}

}  // namespace cifar
