// Reads the pickle of a checkpoint: the part of Python's pickle protocol 2 that serialize() writes,
// and torch.save of state dicts (opcodes as in CPython's Lib/pickletools.py), instead of LibTorch's
// reader, which trusts the sizes it finds. A pickle can name no function but those that rebuild a
// tensor, a parameter or an OrderedDict, and whatever the bytes are, nothing beyond them is read
// and nothing is allocated by a size that they claim: std::runtime_error says what is wrong.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "train/zip_records.h"

namespace cifar {

class PickleReader {
 public:
  struct Mark {};
  struct None {};
  struct Global {
    std::string name;  // "torch FloatStorage"
  };
  struct Storage {
    std::string_view bytes;
    torch::ScalarType type;
    int64_t elements;
  };
  struct TupleId {  // or a list
    size_t index;
  };
  struct DictId {
    size_t index;
  };
  using Value = std::variant<Mark, None, bool, int64_t, double, std::string, Global, Storage,
                             TupleId, DictId, torch::Tensor>;
  using Dict = std::map<std::string, Value>;

  // Tensors lie in the records "data/0", "data/1", ...
  explicit PickleReader(const ZipRecords& records) : records_(records) {}

  // The dict that the record "data.pkl" holds. Keys that are integers become texts.
  const Dict& read();

  // The value of a key as a T (bool, int64_t, double, std::string, torch::Tensor).
  template <class T>
  static const T& get(const Dict& dict, const std::string& key) {
    return as<T>(at(dict, key), key);
  }
  const Dict& get_dict(const Dict& dict, const std::string& key) const {
    return dicts_[as<DictId>(at(dict, key), key).index];
  }
  static bool has_dict(const Dict& dict, const std::string& key) {
    const auto found = dict.find(key);
    return found != dict.end() && std::holds_alternative<DictId>(found->second);
  }

 private:
  using Tuple = std::vector<Value>;

  static const Value& at(const Dict& dict, const std::string& key);
  [[noreturn]] static void refuse(const std::string& what);
  template <class T>
  static const T& as(const Value& value, const std::string& what) {
    const T* found = std::get_if<T>(&value);
    if (found == nullptr) refuse(what + " of another type");
    return *found;
  }

  uint64_t number(size_t width);
  int64_t long_integer(size_t bytes);
  std::string_view text(size_t size);
  std::string line();
  Value pop();
  Tuple pop_to_mark();
  void push_tuple(Tuple values);
  void run(uint8_t opcode);
  bool run_atom(uint8_t opcode);
  bool run_tuple(uint8_t opcode);
  bool run_structure(uint8_t opcode);
  void put(uint64_t index);
  void get_memo(uint64_t index);
  void set_items(Tuple items);
  void append(Tuple items);
  void load_storage();
  void reduce();
  torch::Tensor rebuild_tensor(const Tuple& arguments) const;
  std::vector<int64_t> integers(const Value& tuple) const;

  const ZipRecords& records_;
  std::string_view pickle_;
  uint64_t position_ = 0;
  std::vector<Value> stack_, memo_;
  // By index, so that a dict in a dict in a dict ... is no recursion.
  std::vector<Tuple> tuples_;
  std::vector<Dict> dicts_;
};

}  // namespace cifar
