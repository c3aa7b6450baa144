// How a Checkpoint becomes bytes and back; see checkpoint.h.
#include <caffe2/serialize/inline_container.h>
#include <fmt/format.h>
#include <torch/csrc/jit/serialization/pickler.h>

#include <cstring>
#include <string_view>

#include "base/error.h"
#include "base/hash.h"
#include "train/checkpoint.h"
#include "train/foreign_file.h"
#include "train/pickle_reader.h"
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
  all.insert("data_hash", checkpoint.data_hash);
  all.insert("position", position);
  all.insert("model", dict_of(checkpoint.model));
  all.insert("optimizer", optimizer);
  return all;
}

size_t trailer_of(std::string_view bytes) {
  return bytes.size() < kTrailerBytes ? 0 : bytes.size() - kTrailerBytes;
}

// The archive without its trailer, once the hash agrees.
std::string_view verified(const std::string& bytes, const std::string& file) {
  const std::string_view all = bytes;
  const size_t end = trailer_of(all);
  if (!is_checkpoint(all)) {
    if (const auto foreign = recognise_foreign(all); foreign && !all.empty()) {
      throw Error(ExitCode::kCheckpoint, file, foreign->what, "a checkpoint of cifar-ddp");
    }
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

NamedTensors tensors_of(PickleReader& pickle, const PickleReader::Dict& dict) {
  NamedTensors tensors;
  for (const auto& [name, value] : dict) tensors[name] = pickle.tensor(value, name);
  return tensors;
}

Checkpoint unpickled(PickleReader& pickle, const std::string& file) {
  using Reader = PickleReader;
  const Reader::Dict all = pickle.read();
  const auto format = Reader::get<int64_t>(all, "format");
  if (format > kFormat) {
    throw Error(ExitCode::kCheckpoint, file, fmt::format("format {}", format),
                fmt::format("at most {}: a newer cifar-ddp wrote it", kFormat));
  }
  Checkpoint checkpoint;
  checkpoint.recipe = Reader::get<std::string_view>(all, "recipe");
  if (all.contains("data_hash")) {
    checkpoint.data_hash = Reader::get<std::string_view>(all, "data_hash");
  }
  const Reader::Dict at = pickle.get_dict(all, "position");
  checkpoint.position = {
      Reader::get<int64_t>(at, "epoch"),   Reader::get<int64_t>(at, "step_in_epoch"),
      Reader::get<int64_t>(at, "step"),    Reader::get<int64_t>(at, "samples"),
      Reader::get<double>(at, "loss_sum"), Reader::get<double>(at, "correct")};
  checkpoint.model = tensors_of(pickle, pickle.get_dict(all, "model"));
  const Reader::Dict optimizer = pickle.get_dict(all, "optimizer");
  checkpoint.optimizer = Reader::get<std::string_view>(optimizer, "name");
  checkpoint.optimizer_steps = Reader::get<int64_t>(optimizer, "steps");
  const Reader::Dict state = pickle.get_dict(optimizer, "state");
  for (const auto& [moment, tensors] : state) {
    checkpoint.optimizer_state[moment] = tensors_of(pickle, pickle.get_dict(state, moment));
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

bool is_checkpoint(std::string_view bytes) {
  return bytes.substr(trailer_of(bytes), kTrailerText.size()) == kTrailerText;
}

Checkpoint deserialize(const std::string& bytes, const std::string& file) {
  const std::string_view archive = verified(bytes, file);
  try {
    const ZipRecords records = read_zip_records(archive);
    PickleReader pickle(records);
    return unpickled(pickle, file);
  } catch (const Error&) {
    throw;
  } catch (const std::exception& e) {
    const std::string_view text = e.what();
    throw Error(ExitCode::kCheckpoint, file, std::string(text.substr(0, text.find('\n'))),
                "a checkpoint of cifar-ddp");
  }
}

}  // namespace cifar
