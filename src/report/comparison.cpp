#include "report/comparison.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>

#include "config/load.h"
#include "report/html.h"
#include "train/state.h"

namespace cifar {
namespace {

constexpr double kLevel = 0.05;

std::string data_of(const RunRecord& run) {
  return run.facts ? run.facts->data_hash : run.config.data.path;
}

// What runs of one group have in common: all but the seed, and where and how each ran.
std::string key_of(const RunRecord& run) {
  Config config = run.config;
  config.train.seed = 0;
  config.train.threads = 0;
  config.run = RunConfig{};
  config.data.path = data_of(run);
  config.recipe = "";
  return to_toml(config);
}

std::string without_seed(const std::string& name) {
  const size_t seed = name.rfind("-seed-");
  const bool digits = seed != std::string::npos && seed > 0 && seed + 6 < name.size() &&
                      name.find_first_not_of("0123456789", seed + 6) == std::string::npos;
  return digits ? name.substr(0, seed) : name;
}

// "a", "a and b", "a, b and c"
std::string join(const std::vector<std::string>& words) {
  std::string text;
  for (size_t i = 0; i < words.size(); ++i) {
    if (i > 0) text += i + 1 == words.size() ? " and " : ", ";
    text += words[i];
  }
  return text;
}

std::string points(double fraction) {
  return fmt::format("{:.1f} points", 100 * fraction);
}

std::string behind(const std::vector<Score>& scores, const std::vector<size_t>& which) {
  std::vector<std::string> words;
  for (const size_t i : which) {
    words.push_back(
        fmt::format("{} ({})", scores[i].name, points(scores[0].test.mean - scores[i].test.mean)));
  }
  return join(words);
}

// Of scores that differ in more than their mean: which are behind the first by more than noise.
std::string compare_with_best(const std::vector<Score>& scores) {
  std::vector<double> p;
  std::vector<size_t> tested, untested, noise, worse;
  for (size_t i = 1; i < scores.size(); ++i) {
    if (scores[i].test.count < 2) {
      untested.push_back(i);
      continue;
    }
    tested.push_back(i);
    p.push_back(welch_p(scores[0].test, scores[i].test));
  }
  const auto significant = holm(p, kLevel);
  for (size_t k = 0; k < tested.size(); ++k) {
    (significant[k] ? worse : noise).push_back(tested[k]);
  }
  std::string text;
  if (!noise.empty()) {
    text += fmt::format(" Its lead over {} cannot be told from noise.", behind(scores, noise));
  }
  if (!worse.empty()) {
    text += fmt::format(" It is ahead of {} by more than noise explains.", behind(scores, worse));
  }
  if (!untested.empty()) {
    text += fmt::format(" For {}, with one seed, no spread is known.", behind(scores, untested));
  }
  if (tested.empty()) return text;
  return text + " (Rule: Welch's t-test between the seeds' accuracies, two-sided, at 5 %" +
         (tested.size() > 1
              ? fmt::format(" with Holm's correction for {} comparisons).", tested.size())
              : ").");
}

}  // namespace

std::vector<double> RunGroup::test_accuracies() const {
  std::map<int64_t, double> by_seed;
  for (const RunRecord& run : runs) {
    if (run.test) by_seed.insert({run.config.train.seed, run.test->accuracy});
  }
  std::vector<double> values;
  for (const auto& [seed, accuracy] : by_seed) values.push_back(accuracy);
  return values;
}

std::vector<RunGroup> group_runs(std::vector<RunRecord> runs) {
  std::vector<RunGroup> groups;
  std::map<std::string, size_t> found;
  for (RunRecord& run : runs) {
    const auto [place, is_new] = found.insert({key_of(run), groups.size()});
    if (is_new) {
      const auto network = make_network(run.config);
      groups.push_back(
          {without_seed(run.name), {}, network->parameter_count(), network->multiply_adds()});
    }
    groups[place->second].runs.push_back(std::move(run));
  }
  std::map<std::string, int> uses;
  for (const RunGroup& group : groups) ++uses[group.name];
  for (RunGroup& group : groups) {
    if (uses[group.name] > 1) group.name = without_seed(group.runs.front().path);
  }
  return groups;
}

std::vector<std::string> comparison_warnings(const std::vector<RunGroup>& groups) {
  std::vector<std::string> warnings;
  std::set<std::string> data, splits, places;
  std::set<int64_t> epochs;
  int64_t unfinished = 0, runs = 0;
  for (const RunGroup& group : groups) {
    std::set<int64_t> seeds;
    for (const RunRecord& run : group.runs) {
      ++runs;
      unfinished += run.test ? 0 : 1;
      data.insert(data_of(run));
      places.insert(run.facts ? run.facts->data : run.config.data.path);
      splits.insert(
          fmt::format("{}/{}", run.config.data.split_seed, run.config.data.validation_size));
      epochs.insert(run.config.train.epochs);
      if (seeds.insert(run.config.train.seed).second) continue;
      warnings.push_back(fmt::format("{}: seed {} is there twice; its test accuracy counts once.",
                                     group.name, run.config.train.seed));
    }
  }
  if (data.size() > 1) {
    warnings.push_back(fmt::format("Different data: the runs did not see the same images ({}).",
                                   join({places.begin(), places.end()})));
  }
  if (splits.size() > 1) {
    warnings.push_back("Different splits: the runs do not train on the same part of the images.");
  }
  if (epochs.size() > 1) {
    warnings.push_back(fmt::format("Different numbers of epochs: {}.",
                                   fmt::join(epochs.begin(), epochs.end(), ", ")));
  }
  if (unfinished > 0) {
    warnings.push_back(fmt::format("{} of {} runs {} not finished and {} no test accuracy.",
                                   unfinished, runs, unfinished == 1 ? "is" : "are",
                                   unfinished == 1 ? "has" : "have"));
  }
  return warnings;
}

std::string answer(std::vector<Score> scores) {
  std::erase_if(scores, [](const Score& score) { return score.test.count == 0; });
  if (scores.empty()) return "No run has finished yet.";
  std::ranges::stable_sort(
      scores, [](const Score& a, const Score& b) { return a.test.mean > b.test.mean; });
  const Score& best = scores.front();
  const std::string lead =
      fmt::format("{} has {} of the test images right", best.name, spread_text(best.test));
  if (scores.size() == 1) return lead + ".";
  if (best.test.count == 1) {
    std::vector<size_t> others;
    for (size_t i = 1; i < scores.size(); ++i) others.push_back(i);
    return fmt::format(
        "{} and is first, ahead of {}. With one seed no spread is known, so none of these "
        "differences can be told from noise.",
        lead, behind(scores, others));
  }
  return fmt::format("{} (mean and standard deviation of {} seeds) and is first.{}", lead,
                     best.test.count, compare_with_best(scores));
}

}  // namespace cifar
