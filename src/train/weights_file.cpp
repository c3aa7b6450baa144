#include "train/weights_file.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "train/foreign_file.h"
#include "train/pickle_reader.h"
#include "train/safetensors.h"
#include "train/shortened.h"

namespace cifar {
namespace {

constexpr const char* kExpected =
    "a checkpoint, or a state dict that torch.save or safetensors wrote";
constexpr const char* kKeys[] = {"model", "state_dict", "model_state_dict"};
// Of DistributedDataParallel and DataParallel, and of torch.compile; one may be in the other.
constexpr const char* kPrefixes[] = {"module.", "_orig_mod."};

bool has_tensors(const PickleReader& pickle, const PickleReader::Dict& dict) {
  return std::ranges::any_of(dict, [&](const auto& it) { return pickle.is_tensor(it.second); });
}

// Of a value that holds no weights, for a message.
std::string content_of(const PickleReader& pickle, const PickleReader::Value& value) {
  if (!PickleReader::is_dict(value)) return pickle.describe(value);
  const PickleReader::Dict dict = pickle.dict_of(value, "a dict");
  if (dict.empty()) return "an empty dict";
  const auto& [name, first] = *dict.begin();
  return fmt::format("a dict whose {} is {}", in_quotes(name), pickle.describe(first));
}

// The dict that holds the weights: what one of the keys names, or the whole.
PickleReader::Dict weights_in(const PickleReader& pickle, const PickleReader::Dict& whole,
                              const std::string& file) {
  std::string found;
  PickleReader::Dict weights;
  for (const char* key : kKeys) {
    const auto item = whole.find(key);
    if (item == whole.end() || !PickleReader::is_dict(item->second)) continue;
    PickleReader::Dict inner = pickle.dict_of(item->second, key);
    if (!has_tensors(pickle, inner)) continue;
    if (!found.empty()) {
      throw Error(ExitCode::kCheckpoint, file,
                  fmt::format("weights as \"{}\" and as \"{}\"", found, key), "one of the two");
    }
    found = key;
    weights = std::move(inner);
  }
  if (!found.empty() || has_tensors(pickle, whole)) return found.empty() ? whole : weights;
  for (const char* key : kKeys) {
    const auto item = whole.find(key);
    if (item == whole.end()) continue;
    throw Error(ExitCode::kCheckpoint, file,
                fmt::format("\"{}\" is {}", key, content_of(pickle, item->second)),
                "a state dict: what model.state_dict() gives");
  }
  return whole;
}

NamedTensors read_pickled(const std::string& bytes, const std::string& file) {
  const ZipRecords records = read_zip_records(bytes);
  const auto order = records.find("byteorder");
  if (order != records.end() && order->second != "little") {
    throw Error(ExitCode::kCheckpoint, file, "numbers of another byte order", "little endian");
  }
  PickleReader pickle(records);
  const PickleReader::Dict dict = weights_in(pickle, pickle.read(), file);
  NamedTensors weights;
  for (const auto& [name, value] : dict) {
    if (!pickle.is_tensor(value)) {
      throw Error(ExitCode::kCheckpoint, file,
                  fmt::format("\"{}\" is {}, no tensor", shortened(name), pickle.describe(value)),
                  "a state dict: tensors by their names, alone or as \"model\"");
    }
    if (!name.ends_with(".num_batches_tracked")) weights[name] = pickle.tensor(value, name);
  }
  return weights;
}

// While every name has the same one.
Weights without_prefixes(NamedTensors tensors) {
  Weights weights{std::move(tensors), ""};
  for (bool again = true; again && !weights.tensors.empty();) {
    again = false;
    for (const std::string prefix : kPrefixes) {
      const auto has_it = [&](const auto& it) { return it.first.starts_with(prefix); };
      if (!std::ranges::all_of(weights.tensors, has_it)) continue;
      NamedTensors shorter;
      for (const auto& [name, tensor] : weights.tensors) {
        shorter[name.substr(prefix.size())] = tensor;
      }
      weights.tensors = std::move(shorter);
      weights.taken_away += prefix;
      again = true;
    }
  }
  return weights;
}

Weights read_weights(const std::string& bytes, const std::string& file) {
  if (!is_safetensors(bytes)) return without_prefixes(read_pickled(bytes, file));
  NamedTensors tensors = read_safetensors(bytes);
  std::erase_if(tensors, [](const auto& it) { return it.first.ends_with(".num_batches_tracked"); });
  return without_prefixes(std::move(tensors));
}

}  // namespace

int64_t most_weights_of(size_t bytes) {
  constexpr size_t kSmall = size_t{1} << 24;
  return static_cast<int64_t>(std::min<size_t>(std::max(bytes, kSmall), kMostNumbers));
}

std::string remark_on(const Weights& weights) {
  if (weights.taken_away.empty()) return "";
  return fmt::format(" (its names without \"{}\")", weights.taken_away);
}

Weights weights_of(const std::string& bytes, const std::string& file) {
  if (is_checkpoint(bytes)) return {deserialize(bytes, file).model, ""};
  if (const auto foreign = recognise_foreign(bytes)) {
    throw Error(ExitCode::kCheckpoint, file, foreign->what, foreign->expected);
  }
  try {
    if (!bytes.starts_with("PK") && !is_safetensors(bytes)) {
      throw Error(ExitCode::kCheckpoint, file,
                  fmt::format("{} bytes of an unknown format", bytes.size()), kExpected);
    }
    return read_weights(bytes, file);
  } catch (const Error&) {
    throw;
  } catch (const std::exception& e) {
    const std::string text = e.what();
    throw Error(ExitCode::kCheckpoint, file, text.substr(0, text.find('\n')), kExpected);
  }
}

}  // namespace cifar
