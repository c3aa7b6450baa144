// The part of PickleReader that makes tensors out of records.
#include <algorithm>
#include <cstring>
#include <string>

#include "train/pickle_reader.h"

namespace cifar {
namespace {

struct StorageType {
  const char* name;
  torch::ScalarType type;
};

constexpr StorageType kStorageTypes[] = {
    {"torch FloatStorage", torch::kFloat32}, {"torch DoubleStorage", torch::kFloat64},
    {"torch HalfStorage", torch::kFloat16},  {"torch BFloat16Storage", torch::kBFloat16},
    {"torch LongStorage", torch::kInt64},    {"torch IntStorage", torch::kInt32},
};

}  // namespace

// ('storage', torch.FloatStorage, '0', 'cpu', 16), the last being the number of elements.
void PickleReader::load_storage() {
  const Tuple& tuple = tuples_[as<TupleId>(pop(), "a storage").index];
  if (tuple.size() != 5 || as<std::string>(tuple[0], "a storage") != "storage") {
    refuse("a storage of another kind");
  }
  const std::string& name = as<Global>(tuple[1], "a storage").name;
  const auto* known = std::ranges::find(kStorageTypes, name, &StorageType::name);
  if (known == std::end(kStorageTypes)) refuse("a storage of " + name.substr(0, 80));
  const auto record = records_.find("data/" + as<std::string>(tuple[2], "a storage"));
  if (record == records_.end()) refuse("a tensor without its record");
  const auto elements =
      static_cast<int64_t>(record->second.size() / torch::elementSize(known->type));
  if (elements != as<int64_t>(tuple[4], "a storage")) {
    refuse("a storage of another size than its record");
  }
  stack_.emplace_back(Storage{record->second, known->type, elements});
}

void PickleReader::reduce() {
  const Value arguments = pop(), callee = pop();
  const Tuple& tuple = tuples_[as<TupleId>(arguments, "arguments").index];
  const std::string& name = as<Global>(callee, "a callee").name;
  if (name == "torch._utils _rebuild_tensor_v2") {
    stack_.emplace_back(rebuild_tensor(tuple));
  } else if (name == "torch._utils _rebuild_parameter" && !tuple.empty()) {
    stack_.emplace_back(as<torch::Tensor>(tuple[0], "a parameter"));
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
  const auto& [bytes, type, elements] = as<Storage>(arguments[0], "a tensor");
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
  // A copy of the part that is used: a record may be at any address, and shared by many tensors.
  const torch::Tensor part = torch::empty({last - offset + 1}, type);
  std::memcpy(part.mutable_data_ptr(), bytes.data() + offset * part.element_size(), part.nbytes());
  return part.as_strided(sizes, strides).contiguous();
}

}  // namespace cifar
