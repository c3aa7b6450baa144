// The part of PickleReader that runs the pickle's opcodes.
#include <fmt/format.h>

#include <bit>
#include <charconv>
#include <stdexcept>
#include <utility>

#include "train/pickle_reader.h"

namespace cifar {

PickleReader::Dict PickleReader::read() {
  pickle_ = records_.contains("data.pkl") ? records_.at("data.pkl") : std::string_view();
  for (;;) {
    const auto opcode = static_cast<uint8_t>(number(1));
    if (opcode == '.') break;
    run(opcode);
  }
  const Value whole = pop();
  if (is_dict(whole)) return dict_of(whole, "a whole");
  throw std::runtime_error(describe(whole) +
                           " as a whole (of a module: torch.save(model.state_dict(), FILE))");
}

void PickleReader::run(uint8_t opcode) {
  const bool known = run_number(opcode) || run_text(opcode) || run_list(opcode) ||
                     run_dict(opcode) || run_memo(opcode) || run_object(opcode);
  if (!known) refuse(fmt::format("opcode {:#04x}", opcode));
}

// Numbers, None, and what frames the pickle; false for another opcode.
bool PickleReader::run_number(uint8_t opcode) {
  switch (opcode) {
    case 0x80:  // PROTO
      if (const uint64_t protocol = number(1); protocol > 5) {
        refuse(fmt::format("protocol {}, which is newer than 5", protocol));
      }
      return true;
    case 0x95:  // FRAME, of which the size says nothing that is needed
      number(8);
      return true;
    case 'N':  // NONE
      return push(None{}), true;
    case 0x88:  // NEWTRUE
    case 0x89:  // NEWFALSE
      return push(opcode == 0x88), true;
    case 'I':  // INT
    case 'L':  // LONG
      return push(integer_line()), true;
    case 'J':  // BININT
      return push(int64_t{static_cast<int32_t>(number(4))}), true;
    case 'K':  // BININT1
    case 'M':  // BININT2
      return push(static_cast<int64_t>(number(opcode == 'K' ? 1 : 2))), true;
    case 0x8a:  // LONG1
    case 0x8b:  // LONG4
      return push(long_integer(number(opcode == 0x8a ? 1 : 4))), true;
    case 'F': {  // FLOAT
      const std::string_view digits = line();
      double real = 0;
      std::from_chars(digits.data(), digits.data() + digits.size(), real);
      return push(real), true;
    }
    case 'G':  // BINFLOAT, the highest byte first
      return push(std::bit_cast<double>(__builtin_bswap64(number(8)))), true;
    default:
      return false;
  }
}

bool PickleReader::run_text(uint8_t opcode) {
  switch (opcode) {
    case 'S':  // STRING
    case 'V':  // UNICODE
      return push(line()), true;
    case 'U':   // SHORT_BINSTRING
    case 0x8c:  // SHORT_BINUNICODE
      return push(text(number(1))), true;
    case 'T':  // BINSTRING
    case 'X':  // BINUNICODE
      return push(text(number(4))), true;
    case 0x8d:  // BINUNICODE8
      return push(text(number(8))), true;
    case 'C':  // SHORT_BINBYTES
      return text(number(1)), push(Opaque{"bytes"}), true;
    case 'B':  // BINBYTES
      return text(number(4)), push(Opaque{"bytes"}), true;
    case 0x8e:  // BINBYTES8
    case 0x96:  // BYTEARRAY8
      return text(number(8)), push(Opaque{"bytes"}), true;
    case 0x97:  // NEXT_BUFFER
    case 0x98:  // READONLY_BUFFER
      refuse("a buffer that lies outside of it");
    default:
      return false;
  }
}

// Tuples, lists and sets, which are kept alike.
bool PickleReader::run_list(uint8_t opcode) {
  switch (opcode) {
    case '(':  // MARK
      return push(Mark{}), true;
    case 't':   // TUPLE
    case 'l':   // LIST
    case 0x91:  // FROZENSET
      return push_new(Kind::kList, pop_to_mark()), true;
    case ')':   // EMPTY_TUPLE
    case ']':   // EMPTY_LIST
    case 0x8f:  // EMPTY_SET
      return push_new(Kind::kList, {}), true;
    case 0x85:    // TUPLE1
    case 0x86:    // TUPLE2
    case 0x87: {  // TUPLE3
      List values(opcode - 0x84);
      for (auto value = values.rbegin(); value != values.rend(); ++value) *value = pop();
      return push_new(Kind::kList, std::move(values)), true;
    }
    case 'a':  // APPEND
      return add_to(Kind::kList, {pop()}), true;
    case 'e':   // APPENDS
    case 0x90:  // ADDITEMS
      return add_to(Kind::kList, pop_to_mark()), true;
    default:
      return false;
  }
}

bool PickleReader::run_dict(uint8_t opcode) {
  switch (opcode) {
    case '}':  // EMPTY_DICT
      return push_new(Kind::kDict, {}), true;
    case 'd': {  // DICT
      List items = pop_to_mark();
      push_new(Kind::kDict, {});
      return add_to(Kind::kDict, std::move(items)), true;
    }
    case 's': {  // SETITEM
      const Value value = pop();
      return add_to(Kind::kDict, {pop(), value}), true;
    }
    case 'u':  // SETITEMS
      return add_to(Kind::kDict, pop_to_mark()), true;
    default:
      return false;
  }
}

bool PickleReader::run_memo(uint8_t opcode) {
  switch (opcode) {
    case '0':  // POP
      return pop(), true;
    case '1':  // POP_MARK
      return pop_to_mark(), true;
    case '2': {  // DUP
      const Value value = pop();
      return push(value), push(value), true;
    }
    case 'q':  // BINPUT
    case 'r':  // LONG_BINPUT
      return put(number(opcode == 'q' ? 1 : 4)), true;
    case 0x94:  // MEMOIZE
      return put(memo_.size()), true;
    case 'h':  // BINGET
    case 'j':  // LONG_BINGET
      return get_memo(number(opcode == 'h' ? 1 : 4)), true;
    case 'p':    // PUT
    case 'g': {  // GET
      const Value value = integer_line();
      const auto* index = std::get_if<int64_t>(&value);
      const bool bit = std::holds_alternative<bool>(value);
      if ((index == nullptr || *index < 0) && !bit) refuse("a memo that is not there");
      const uint64_t at = bit ? std::get<bool>(value) : static_cast<uint64_t>(*index);
      return opcode == 'p' ? put(at) : get_memo(at), true;
    }
    default:
      return false;
  }
}

bool PickleReader::run_object(uint8_t opcode) {
  switch (opcode) {
    case 'c': {  // GLOBAL
      const std::string_view module = line();
      return push_new(Kind::kGlobal, {module, line()}), true;
    }
    case 0x93: {  // STACK_GLOBAL
      const Value name = pop();
      return push_new(Kind::kGlobal, {pop(), name}), true;
    }
    case 'R':     // REDUCE
    case 0x81: {  // NEWOBJ
      const Value arguments = pop();
      return call(opcode == 'R' ? Kind::kCall : Kind::kObject, pop(), arguments), true;
    }
    case 0x92: {  // NEWOBJ_EX, with arguments by name
      pop();
      const Value arguments = pop();
      return call(Kind::kObject, pop(), arguments), true;
    }
    case 'i': {  // INST
      const std::string_view module = line();
      pop_to_mark();
      push_new(Kind::kGlobal, {module, line()});
      return call(Kind::kObject, pop(), None{}), true;
    }
    case 'o': {  // OBJ
      const List values = pop_to_mark();
      if (values.empty()) refuse("too few values");
      return call(Kind::kObject, values.front(), None{}), true;
    }
    case 'b':  // BUILD: attributes, such as the _metadata of a state dict
      return pop(), true;
    case 'Q':  // BINPERSID
      return push_new(Kind::kStorage, {pop()}), true;
    case 'P':  // PERSID
      return push_new(Kind::kStorage, {line()}), true;
    case 0x82:  // EXT1
    case 0x83:  // EXT2
    case 0x84:  // EXT4
      number(size_t{1} << (opcode - 0x82));
      return push(Opaque{"a registered extension"}), true;
    default:
      return false;
  }
}

}  // namespace cifar
