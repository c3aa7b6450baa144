// The part of PickleReader that says what values mean: dicts, and tensors in records.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "train/pickle_reader.h"
#include "train/shortened.h"
#include "train/tensor_limits.h"

namespace cifar {
namespace {

struct StorageType {
  const char* name;  // in the module torch
  torch::ScalarType type;
};

constexpr StorageType kStorageTypes[] = {
    {"FloatStorage", torch::kFloat32}, {"DoubleStorage", torch::kFloat64},
    {"HalfStorage", torch::kFloat16},  {"BFloat16Storage", torch::kBFloat16},
    {"LongStorage", torch::kInt64},    {"IntStorage", torch::kInt32},
    {"ShortStorage", torch::kInt16},   {"CharStorage", torch::kInt8},
    {"ByteStorage", torch::kUInt8},    {"BoolStorage", torch::kUInt8},
};

constexpr size_t kLongestKey = 500;
// Of a tensor that repeats its numbers; another has at most as many as its record.
constexpr int64_t kMostRepeated = int64_t{1} << 24;

}  // namespace

const PickleReader::Value& PickleReader::at(const Dict& dict, const std::string& key) {
  const auto found = dict.find(key);
  if (found == dict.end()) refuse("no \"" + key + "\"");
  return found->second;
}

const PickleReader::List* PickleReader::find_list(const Value& value, Kind kind) const {
  const Ref* ref = std::get_if<Ref>(&value);
  return ref != nullptr && ref->kind == kind ? &pool_[ref->index] : nullptr;
}

const PickleReader::List& PickleReader::list_of(const Value& value, Kind kind,
                                                const std::string& what) const {
  const List* list = find_list(value, kind);
  if (list == nullptr) refuse(what + " that is " + describe(value));
  return *list;
}

PickleReader::Dict PickleReader::dict_of(const Value& value, const std::string& what) const {
  const List& items = list_of(value, Kind::kDict, what);
  Dict dict;
  for (size_t i = 0; i < items.size(); i += 2) {
    const auto* number = std::get_if<int64_t>(&items[i]);
    const auto* text = std::get_if<std::string_view>(&items[i]);
    if (text != nullptr && text->size() > kLongestKey) {
      refuse(fmt::format("a key of {} bytes", text->size()));
    }
    dict[number ? std::to_string(*number)
         : text ? std::string(*text)
                : describe(items[i])] = items[i + 1];
  }
  return dict;
}

bool PickleReader::is_global(const Value& value, std::string_view module,
                             std::string_view name) const {
  const List* global = find_list(value, Kind::kGlobal);
  if (global == nullptr) return false;
  const auto* of = std::get_if<std::string_view>(&global->front());
  const auto* its = std::get_if<std::string_view>(&global->back());
  return of != nullptr && *of == module && its != nullptr && *its == name;
}

std::string PickleReader::name_of(const Value& global) const {
  const List* names = find_list(global, Kind::kGlobal);
  if (names == nullptr) return "something without a name";
  std::string name;
  for (const Value& part : *names) {
    const auto* text = std::get_if<std::string_view>(&part);
    if (!name.empty()) name += '.';
    name += text ? shortened(*text) : "?";
  }
  return name;
}

std::string PickleReader::describe(const Value& value) const {
  static constexpr const char* kNames[] = {"a mark",     "None",     "a bool",
                                           "an integer", "a number", "a text"};
  if (value.index() < std::size(kNames)) return kNames[value.index()];
  if (const auto* opaque = std::get_if<Opaque>(&value)) return opaque->what;
  const Ref& ref = std::get<Ref>(value);
  const List& list = pool_[ref.index];
  switch (ref.kind) {
    case Kind::kList:
      return "a list or tuple";
    case Kind::kDict:
      return "a dict";
    case Kind::kGlobal:
      return name_of(value);
    case Kind::kStorage:
      return "a storage";
    case Kind::kObject:
      return fmt::format("an object of {}", name_of(list.front()));
    default:
      return fmt::format("what {} makes", name_of(list.front()));
  }
}

// The arguments of torch._utils._rebuild_tensor_v2, out of what wraps a parameter, or a tensor with
// attributes of its own.
const PickleReader::List* PickleReader::tensor_call(const Value& value) const {
  constexpr int kMostWrappers = 4;
  const List* call = find_list(value, Kind::kCall);
  for (int i = 0; call != nullptr && i < kMostWrappers; ++i) {
    const Value& callee = call->front();
    const List* arguments = find_list(call->back(), Kind::kList);
    if (arguments == nullptr || arguments->empty()) return nullptr;
    if (is_global(callee, "torch._utils", "_rebuild_tensor_v2")) return arguments;
    if (is_global(callee, "torch._utils", "_rebuild_parameter") ||
        is_global(callee, "torch._utils", "_rebuild_parameter_with_state")) {
      call = find_list(arguments->front(), Kind::kCall);
    } else if (is_global(callee, "torch._tensor", "_rebuild_from_type_v2") &&
               arguments->size() == 4 &&
               is_global(arguments->front(), "torch._utils", "_rebuild_tensor_v2")) {
      return find_list((*arguments)[2], Kind::kList);
    } else {
      return nullptr;
    }
  }
  return nullptr;
}

bool PickleReader::is_tensor(const Value& value) const {
  return tensor_call(value) != nullptr;
}

// ('storage', torch.FloatStorage, '0', 'cpu', 16), the last being the number of elements.
torch::Tensor PickleReader::storage(const Value& value, const std::string& what) {
  const List& wrapped = list_of(value, Kind::kStorage, what);
  const List& parts = list_of(wrapped.front(), Kind::kList, what);
  const auto* kind = parts.size() == 5 ? std::get_if<std::string_view>(&parts[0]) : nullptr;
  if (kind == nullptr || *kind != "storage") refuse(what + " in a storage of another kind");
  const auto* known = std::ranges::find_if(kStorageTypes, [&](const StorageType& type) {
    return is_global(parts[1], "torch", type.name);
  });
  if (known == std::end(kStorageTypes)) refuse(what + " in a storage of " + name_of(parts[1]));
  const auto record = records_.find(fmt::format("data/{}", as<std::string_view>(parts[2], what)));
  if (record == records_.end()) refuse(what + " without its record");
  const std::string_view bytes = record->second;
  const auto width = static_cast<int64_t>(torch::elementSize(known->type));
  const int64_t elements = static_cast<int64_t>(bytes.size()) / width;
  if (elements != as<int64_t>(parts[4], what)) {
    refuse(what + " in a storage of another size than its record");
  }
  torch::Tensor& copy = bytes_[record->first];  // a record may be at any address
  if (!copy.defined()) {
    copy = torch::empty({static_cast<int64_t>(bytes.size())}, torch::kUInt8);
    std::memcpy(copy.mutable_data_ptr(), bytes.data(), bytes.size());
  }
  return copy.narrow(0, 0, elements * width).view(known->type);
}

std::vector<int64_t> PickleReader::integers(const Value& list, const std::string& what) const {
  const List& values = list_of(list, Kind::kList, what);
  if (values.size() > kMostDimensions) {
    refuse(fmt::format("{} of {} dimensions", what, values.size()));
  }
  std::vector<int64_t> integers;
  for (const Value& value : values) integers.push_back(as<int64_t>(value, what));
  return integers;
}

// (storage, offset, size, stride, requires_grad, hooks)
torch::Tensor PickleReader::tensor(const Value& value, const std::string& what) {
  const std::string name = in_quotes(what);
  if (++tensors_ > kMostTensors) refuse(fmt::format("more than {} tensors", kMostTensors));
  const List* arguments = tensor_call(value);
  if (arguments == nullptr) refuse(name + " that is " + describe(value) + ", no tensor");
  if (arguments->size() < 4) refuse(name + " as a tensor of another kind");
  const torch::Tensor numbers = storage((*arguments)[0], name);
  const int64_t elements = numbers.numel();
  const auto offset = as<int64_t>((*arguments)[1], name);
  const std::vector<int64_t> sizes = integers((*arguments)[2], name);
  const std::vector<int64_t> strides = integers((*arguments)[3], name);
  bool fits = sizes.size() == strides.size() && offset >= 0 && offset <= elements &&
              std::ranges::all_of(sizes, [](int64_t size) { return size >= 0; }) &&
              has_strides(sizes);
  if (fits && std::ranges::count(sizes, 0) > 0) return torch::empty(sizes, numbers.options());
  int64_t last = offset, count = 1;  // the highest index that is used; numbers in the tensor
  const int64_t most = std::max(elements, kMostRepeated);
  for (size_t i = 0; fits && i < sizes.size(); ++i) {
    fits = sizes[i] <= most / count && strides[i] >= 0 &&
           (sizes[i] == 1 || strides[i] <= elements / (sizes[i] - 1));
    if (!fits) break;
    count *= sizes[i];
    last += (sizes[i] - 1) * strides[i];
    fits = last < elements;
  }
  if (!fits || last >= elements) refuse(name + " that reaches beyond its record");
  return numbers.as_strided(sizes, strides, offset);
}

}  // namespace cifar
