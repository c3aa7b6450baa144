#include "train/weights_file.h"

#include "base/error.h"
#include "train/pickle_reader.h"

namespace cifar {
namespace {

constexpr const char* kExpected = "a checkpoint, or a state dict that torch.save wrote";

NamedTensors state_dict_of(const ZipRecords& records, const std::string& file) {
  const auto order = records.find("byteorder");
  if (order != records.end() && order->second != "little") {
    throw Error(ExitCode::kCheckpoint, file, "numbers of another byte order", "little endian");
  }
  PickleReader pickle(records);
  const PickleReader::Dict& all = pickle.read();
  const auto& dict = PickleReader::has_dict(all, "model") ? pickle.get_dict(all, "model") : all;
  NamedTensors weights;
  for (const auto& [name, value] : dict) {
    const auto* tensor = std::get_if<torch::Tensor>(&value);
    if (tensor == nullptr) {
      throw Error(ExitCode::kCheckpoint, file, "\"" + name + "\" is no tensor",
                  "a state dict: tensors by their names, alone or as \"model\"");
    }
    if (name.ends_with(".num_batches_tracked")) continue;
    weights[name] = tensor->to(torch::kFloat32);
  }
  return weights;
}

}  // namespace

NamedTensors weights_of(const std::string& bytes, const std::string& file) {
  if (is_checkpoint(bytes)) return deserialize(bytes, file).model;
  try {
    return state_dict_of(read_zip_records(bytes), file);
  } catch (const Error&) {
    throw;
  } catch (const std::exception& e) {
    const std::string text = e.what();
    throw Error(ExitCode::kCheckpoint, file, text.substr(0, text.find('\n')), kExpected);
  }
}

}  // namespace cifar
