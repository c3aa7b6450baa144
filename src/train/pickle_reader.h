// Reads the pickle of a checkpoint: of this program, or what torch.save wrote in Python (protocols
// 1 to 5; opcodes as in CPython's Lib/pickletools.py). Nothing is run, imported or allocated by a
// size that the pickle claims: it becomes a tree of values in which objects and calls stay names
// with arguments, whatever they are. Only who needs a value as a tensor finds out whether it is
// one. std::runtime_error says what is wrong.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "train/zip_records.h"

namespace cifar {

class PickleReader {
 public:
  // What lies in the pool, as values of its own.
  enum class Kind : uint8_t {
    kList,     // its elements; also a tuple or a set
    kDict,     // key, value, key, value, ...
    kGlobal,   // module, name
    kObject,   // class, arguments
    kCall,     // callee, arguments
    kStorage,  // what torch.save says of it, a list
  };
  struct Ref {
    Kind kind;
    size_t index;
  };
  struct Mark {};
  struct None {};
  struct Opaque {
    const char* what;
  };
  // Texts are views into the pickle: one that is named a million times is there once.
  using Value = std::variant<Mark, None, bool, int64_t, double, std::string_view, Opaque, Ref>;
  using Dict = std::map<std::string, Value>;

  // What a reader may hold, so that a small file cannot ask for much. Scripts put lists of losses
  // beside the weights, a number a step.
  static constexpr size_t kMostValues = size_t{1} << 22;

  // Tensors lie in the records "data/0", "data/1", ...
  explicit PickleReader(const ZipRecords& records) : records_(records) {}

  // The dict that the record "data.pkl" holds.
  Dict read();

  // The value of a key as a T (bool, int64_t, double, std::string_view).
  template <class T>
  static const T& get(const Dict& dict, const std::string& key) {
    return as<T>(at(dict, key), key);
  }
  Dict get_dict(const Dict& dict, const std::string& key) const {
    return dict_of(at(dict, key), key);
  }
  // Keys that are integers become texts; of a key that comes twice the last counts, as in Python.
  Dict dict_of(const Value& value, const std::string& what) const;
  static bool is_dict(const Value& value) {
    const Ref* ref = std::get_if<Ref>(&value);
    return ref != nullptr && ref->kind == Kind::kDict;
  }

  // A tensor or a parameter, of any strides, as a view of memory that all tensors of one record
  // share. `what` is its name, for messages.
  torch::Tensor tensor(const Value& value, const std::string& what);
  // Whether it claims to be one.
  bool is_tensor(const Value& value) const;
  // "an object of argparse.Namespace"
  std::string describe(const Value& value) const;

 private:
  using List = std::vector<Value>;

  static const Value& at(const Dict& dict, const std::string& key);
  [[noreturn]] static void refuse(const std::string& what);
  template <class T>
  static const T& as(const Value& value, const std::string& what) {
    const T* found = std::get_if<T>(&value);
    if (found == nullptr) refuse(what + " of another type");
    return *found;
  }

  // The machine: a stack, a memo, a pool of lists.
  uint64_t number(size_t width);
  Value long_integer(uint64_t bytes);
  std::string_view text(uint64_t size);
  std::string_view line();
  Value integer_line();
  void push(Value value);
  void push_new(Kind kind, List values);
  Value pop();
  List pop_to_mark();
  void put(uint64_t index);
  void get_memo(uint64_t index);
  void count_values(size_t more);
  void add_to(Kind kind, List values);
  void call(Kind kind, Value callee, Value arguments);

  // Of pickle_opcodes.cpp.
  void run(uint8_t opcode);
  bool run_number(uint8_t opcode);
  bool run_text(uint8_t opcode);
  bool run_list(uint8_t opcode);
  bool run_dict(uint8_t opcode);
  bool run_memo(uint8_t opcode);
  bool run_object(uint8_t opcode);

  // Of pickle_tensors.cpp: what values mean.
  const List* find_list(const Value& value, Kind kind) const;
  const List& list_of(const Value& value, Kind kind, const std::string& what) const;
  bool is_global(const Value& value, std::string_view module, std::string_view name) const;
  std::string name_of(const Value& global) const;
  const List* tensor_call(const Value& value) const;
  torch::Tensor storage(const Value& value, const std::string& what);
  std::vector<int64_t> integers(const Value& list, const std::string& what) const;

  const ZipRecords& records_;
  std::string_view pickle_;
  uint64_t position_ = 0;
  size_t count_ = 0, tensors_ = 0;  // values, tensors made
  std::deque<Value> stack_, memo_;
  std::deque<List> pool_;  // by index, so that a dict in a dict in a dict ... is no recursion
  std::map<std::string, torch::Tensor> bytes_;  // of the records that tensors need
};

}  // namespace cifar
