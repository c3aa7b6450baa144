// How a Checkpoint becomes bytes and back; see checkpoint.h.
#include <caffe2/serialize/inline_container.h>
#include <caffe2/serialize/read_adapter_interface.h>
#include <fmt/format.h>
#include <torch/csrc/jit/serialization/import_read.h>
#include <torch/csrc/jit/serialization/pickler.h>

#include <cstring>
#include <string_view>

#include "base/error.h"
#include "base/hash.h"
#include "train/checkpoint.h"
#include "version.h"

namespace cifar {
namespace {

using c10::IValue;
using Dict = c10::impl::GenericDict;

constexpr int64_t kFormat = 1;
constexpr std::string_view kTrailerText = "\ncifar-ddp checkpoint hash ";
constexpr size_t kHashDigits = 32;
constexpr size_t kTrailerBytes = kTrailerText.size() + kHashDigits + 1;

Dict new_dict() {
  return Dict(c10::StringType::get(), c10::AnyType::get());
}

Dict dict_of(const NamedTensors& tensors) {
  Dict dict = new_dict();
  for (const auto& [name, tensor] : tensors) dict.insert(name, tensor);
  return dict;
}

IValue pickled(const Checkpoint& checkpoint) {
  const Position& at = checkpoint.position;
  Dict position = new_dict();
  position.insert("epoch", at.epoch);
  position.insert("step_in_epoch", at.step_in_epoch);
  position.insert("step", at.step);
  position.insert("samples", at.samples);
  position.insert("loss_sum", at.loss_sum);
  position.insert("correct", at.correct);

  Dict moments = new_dict();
  for (const auto& [moment, tensors] : checkpoint.optimizer_state) {
    moments.insert(moment, dict_of(tensors));
  }
  Dict optimizer = new_dict();
  optimizer.insert("name", checkpoint.optimizer);
  optimizer.insert("steps", checkpoint.optimizer_steps);
  optimizer.insert("state", moments);

  Dict all = new_dict();
  all.insert("format", kFormat);
  all.insert("program", "cifar-ddp " CIFAR_VERSION);
  all.insert("recipe", checkpoint.recipe);
  all.insert("position", position);
  all.insert("model", dict_of(checkpoint.model));
  all.insert("optimizer", optimizer);
  return all;
}

// The archive in memory, as PyTorch's reader wants it.
class MemoryReader : public caffe2::serialize::ReadAdapterInterface {
 public:
  explicit MemoryReader(std::string_view bytes) : bytes_(bytes) {}
  size_t size() const override { return bytes_.size(); }
  size_t read(uint64_t position, void* buffer, size_t count, const char*) const override {
    if (position >= bytes_.size()) return 0;
    return bytes_.copy(static_cast<char*>(buffer), count, position);
  }

 private:
  std::string_view bytes_;
};

// The archive without its trailer, once the hash agrees.
std::string_view verified(const std::string& bytes, const std::string& file) {
  const std::string_view all = bytes;
  const size_t end = all.size() < kTrailerBytes ? 0 : all.size() - kTrailerBytes;
  if (all.substr(end, kTrailerText.size()) != kTrailerText) {
    throw Error(ExitCode::kCheckpoint, file,
                fmt::format("{} bytes without a closing hash", all.size()),
                "a whole checkpoint (is it cut off?)");
  }
  const std::string_view archive = all.substr(0, end);
  const std::string_view hash = all.substr(end + kTrailerText.size(), kHashDigits);
  if (hash_of(archive) != hash || all.back() != '\n') {
    throw Error(ExitCode::kCheckpoint, file, "damaged: its bytes do not match their hash",
                std::string(hash));
  }
  return archive;
}

NamedTensors tensors_of(const IValue& value) {
  NamedTensors tensors;
  for (const auto& item : value.toGenericDict()) {
    tensors[item.key().toStringRef()] = item.value().toTensor();
  }
  return tensors;
}

Checkpoint unpickled(const IValue& value, const std::string& file) {
  const Dict all = value.toGenericDict();
  const int64_t format = all.at("format").toInt();
  if (format > kFormat) {
    throw Error(ExitCode::kCheckpoint, file, fmt::format("format {}", format),
                fmt::format("at most {}: a newer cifar-ddp wrote it", kFormat));
  }
  const Dict at = all.at("position").toGenericDict();
  const Dict optimizer = all.at("optimizer").toGenericDict();
  Checkpoint checkpoint;
  checkpoint.recipe = all.at("recipe").toStringRef();
  checkpoint.position = {at.at("epoch").toInt(),       at.at("step_in_epoch").toInt(),
                         at.at("step").toInt(),        at.at("samples").toInt(),
                         at.at("loss_sum").toDouble(), at.at("correct").toDouble()};
  checkpoint.model = tensors_of(all.at("model"));
  checkpoint.optimizer = optimizer.at("name").toStringRef();
  checkpoint.optimizer_steps = optimizer.at("steps").toInt();
  for (const auto& item : optimizer.at("state").toGenericDict()) {
    checkpoint.optimizer_state[item.key().toStringRef()] = tensors_of(item.value());
  }
  return checkpoint;
}

}  // namespace

std::string serialize(const Checkpoint& checkpoint) {
  std::string pickle, bytes;
  // Without tags the pickle holds plain Python dicts, which torch.load(weights_only=True) accepts.
  torch::jit::Pickler pickler([&](const char* data, size_t size) { pickle.append(data, size); },
                              nullptr, nullptr, nullptr, nullptr, /*tag_aggregates=*/false);
  pickler.protocol();
  pickler.pushIValue(pickled(checkpoint));
  pickler.stop();

  caffe2::serialize::PyTorchStreamWriter writer([&](const void* data, size_t size) {
    bytes.append(static_cast<const char*>(data), size);
    return size;
  });
  writer.writeRecord("data.pkl", pickle.data(), pickle.size());
  int64_t index = 0;
  for (const auto& tensor : pickler.tensorData()) {
    writer.writeRecord("data/" + std::to_string(index++), tensor.const_data_ptr(), tensor.nbytes());
  }
  writer.writeEndOfFile();
  const std::string hash = hash_of(bytes);
  bytes.append(kTrailerText).append(hash).append("\n");
  return bytes;
}

Checkpoint deserialize(const std::string& bytes, const std::string& file) {
  const std::string_view archive = verified(bytes, file);
  try {
    caffe2::serialize::PyTorchStreamReader reader(std::make_shared<MemoryReader>(archive));
    const IValue value = torch::jit::readArchiveAndTensors("data", "", "", std::nullopt,
                                                           std::nullopt, std::nullopt, reader);
    return unpickled(value, file);
  } catch (const Error&) {
    throw;
  } catch (const std::exception& e) {  // LibTorch's own, and std::out_of_range of a missing key
    const std::string_view text = e.what();
    throw Error(ExitCode::kCheckpoint, file, std::string(text.substr(0, text.find('\n'))),
                "a checkpoint of cifar-ddp");
  }
}

}  // namespace cifar
