#include "train/run_facts.h"

#include <fstream>
#include <nlohmann/json.hpp>

#include "base/hash.h"

namespace cifar {
namespace {

using Json = nlohmann::ordered_json;

std::string hash_of(const Dataset& dataset, int64_t images_apart) {
  Hasher hasher;
  for (const ImageSet* set : {&dataset.train, &dataset.test}) {
    for (int64_t i = 0; i < set->size(); ++i) {
      const uint8_t label = set->label(i);
      hasher.update(&label, 1);
      if (i % images_apart == 0) hasher.update(set->image(i), kImageBytes);
    }
  }
  return hasher.digest();
}

Json json_of(const std::vector<DataUse>& history) {
  Json uses = Json::array();
  for (const DataUse& use : history) {
    uses.push_back({{"from_step", use.step}, {"data", use.data}, {"data_hash", use.hash}});
  }
  return uses;
}

std::vector<DataUse> history_from(const Json& uses) {
  std::vector<DataUse> history;
  for (const Json& use : uses) {
    history.push_back({use.at("from_step").get<int64_t>(), use.at("data").get<std::string>(),
                       use.at("data_hash").get<std::string>()});
  }
  return history;
}

ClassCounts counts_of(const ImageSet& set, const std::vector<int32_t>& samples) {
  ClassCounts counts = {};
  for (const int32_t sample : samples) ++counts[set.label(sample)];
  return counts;
}

}  // namespace

std::string hash_of(const Dataset& dataset) {
  return hash_of(dataset, 1);
}

std::string sampled_hash(const Dataset& dataset) {
  return hash_of(dataset, 100);
}

void describe_data(const Dataset& dataset, const Split& split, RunFacts& facts) {
  facts.data = dataset.name;
  facts.synthetic = dataset.synthetic;
  facts.data_hash = hash_of(dataset);
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
              {"data_history", json_of(facts.data_history)},
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
  if (object.contains("data_history")) facts.data_history = history_from(object["data_history"]);
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
