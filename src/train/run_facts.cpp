#include "train/run_facts.h"

#include <fstream>
#include <nlohmann/json.hpp>

#include "base/hash.h"

namespace cifar {
namespace {

using Json = nlohmann::ordered_json;

void add(const ImageSet& set, Hasher& hasher) {
  constexpr int64_t kImagesApart = 100;
  for (int64_t i = 0; i < set.size(); ++i) {
    const uint8_t label = set.label(i);
    hasher.update(&label, 1);
    if (i % kImagesApart == 0) hasher.update(set.image(i), kImageBytes);
  }
}

ClassCounts counts_of(const ImageSet& set, const std::vector<int32_t>& samples) {
  ClassCounts counts = {};
  for (const int32_t sample : samples) ++counts[set.label(sample)];
  return counts;
}

}  // namespace

void describe_data(const Dataset& dataset, const Split& split, RunFacts& facts) {
  facts.data = dataset.name;
  facts.synthetic = dataset.synthetic;
  Hasher hasher;
  add(dataset.train, hasher);
  add(dataset.test, hasher);
  facts.data_hash = hasher.digest();
  facts.train = counts_of(dataset.train, split.train);
  facts.val = counts_of(dataset.train, split.val);
  facts.test = dataset.test.class_counts();
}

std::string to_json(const RunFacts& facts) {
  return Json{{"recipe", facts.recipe},
              {"host", facts.host},
              {"hardware", facts.hardware},
              {"device", facts.device},
              {"ranks", facts.ranks},
              {"threads", facts.threads},
              {"data", facts.data},
              {"synthetic", facts.synthetic},
              {"data_hash", facts.data_hash},
              {"class_counts", {{"train", facts.train}, {"val", facts.val}, {"test", facts.test}}}}
      .dump(2, ' ', false, Json::error_handler_t::replace);
}

std::optional<RunFacts> run_facts_from(const std::string& json) try {
  const Json object = Json::parse(json);
  const Json& counts = object.at("class_counts");
  RunFacts facts;
  object.at("recipe").get_to(facts.recipe);
  object.at("host").get_to(facts.host);
  object.at("hardware").get_to(facts.hardware);
  object.at("device").get_to(facts.device);
  object.at("ranks").get_to(facts.ranks);
  object.at("threads").get_to(facts.threads);
  object.at("data").get_to(facts.data);
  object.at("synthetic").get_to(facts.synthetic);
  object.at("data_hash").get_to(facts.data_hash);
  counts.at("train").get_to(facts.train);
  counts.at("val").get_to(facts.val);
  counts.at("test").get_to(facts.test);
  return facts;
} catch (const Json::exception&) {
  return std::nullopt;
}

std::string cpu_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "CPU";
}

}  // namespace cifar
