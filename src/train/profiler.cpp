#include "train/profiler.h"

#include <fmt/format.h>
#include <torch/csrc/autograd/profiler_kineto.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <set>
#include <string_view>
#include <tuple>

#if CIFAR_HAS_CUDA
#include <c10/cuda/CUDAFunctions.h>
#endif

namespace cifar {
namespace {

constexpr size_t kRows = 20;

struct Row {
  std::string name;
  int64_t calls = 0;
  uint64_t ns = 0;
};

// Adds each event's own time: what is left when those that lie within it are taken away.
std::vector<Row> rows_of(std::vector<ProfiledEvent> events) {
  std::ranges::sort(events, {}, [](const ProfiledEvent& it) {
    return std::tuple(it.thread, it.start, ~it.end);  // of two that start at once the outer first
  });
  std::map<std::string, Row> rows;
  std::vector<const ProfiledEvent*> open;
  for (const ProfiledEvent& event : events) {
    while (!open.empty() &&
           (open.back()->thread != event.thread || open.back()->end <= event.start)) {
      open.pop_back();
    }
    const uint64_t ns = event.end - event.start;
    if (!open.empty()) rows[open.back()->name].ns -= std::min(ns, open.back()->end - event.start);
    Row& row = rows[event.name];
    ++row.calls;
    row.ns += ns;
    open.push_back(&event);
  }
  std::vector<Row> sorted;
  for (auto& [name, row] : rows) sorted.push_back({name, row.calls, row.ns});
  std::ranges::stable_sort(sorted, std::ranges::greater(), &Row::ns);
  return sorted;
}

// "ConvBlockFunction backward" for the node of a function of this program.
std::string readable(const std::string& name) {
  constexpr std::string_view kNode = "torch::autograd::CppNode<";
  if (!name.starts_with(kNode) || !name.ends_with('>')) return name;
  const std::string function = name.substr(kNode.size(), name.size() - kNode.size() - 1);
  return function.substr(function.rfind("::") == std::string::npos ? 0 : function.rfind("::") + 2) +
         " backward";
}

std::vector<ProfiledEvent> events_of(const torch::autograd::profiler::ProfilerResult& result,
                                     torch::Device device) {
  std::vector<ProfiledEvent> events;
  for (const auto& event : result.events()) {
    if (event.deviceType() != device.type()) continue;
    // A GPU's streams take the place of threads.
    const uint64_t thread =
        device.is_cuda() ? static_cast<uint64_t>(event.deviceResourceId()) : event.startThreadId();
    events.push_back({readable(event.name()), thread, event.startNs(), event.endNs()});
  }
  return events;
}

}  // namespace

std::string profile_table(std::vector<ProfiledEvent> events, size_t rows) {
  std::vector<Row> all = rows_of(std::move(events));
  if (all.size() > rows) {
    Row others{fmt::format("{} others", all.size() - rows + 1)};
    for (size_t i = rows - 1; i < all.size(); ++i) {
      others.calls += all[i].calls;
      others.ns += all[i].ns;
    }
    all.resize(rows - 1);
    all.push_back(others);
  }
  uint64_t total = 0;
  for (const Row& row : all) total += row.ns;
  std::string text = fmt::format("{:<50} {:>8} {:>10} {:>7}", "operation", "calls", "ms", "share");
  for (const Row& row : all) {
    text += fmt::format("\n{:<50.50} {:>8} {:>10.3f} {:>6.1f}%", row.name, row.calls,
                        static_cast<double>(row.ns) / 1e6,
                        total == 0 ? 0 : 100 * static_cast<double>(row.ns) / total);
  }
  return text;
}

Profiler::Profiler(int64_t steps, torch::Device device) : steps_(steps), device_(device) {}

Profiler::~Profiler() {
  if (seen_ > kWarmUps && seen_ < kWarmUps + steps_) torch::autograd::profiler::disableProfiler();
}

void Profiler::step_begins() {
  if (steps_ == 0 || ++seen_ != kWarmUps + 1) return;
  // Without a GPU the profiler's library says so as an error.
  if (device_.is_cpu()) setenv("KINETO_LOG_LEVEL", "99", /*overwrite=*/0);
  using torch::profiler::impl::ActivityType;
  std::set<ActivityType> activities = {ActivityType::CPU};
  if (device_.is_cuda()) activities.insert(ActivityType::CUDA);
  const torch::profiler::impl::ProfilerConfig config(torch::profiler::impl::ProfilerState::KINETO);
  torch::autograd::profiler::prepareProfiler(config, activities);
  // Of all threads: on a GPU backward runs in one of autograd's.
  torch::autograd::profiler::enableProfiler(
      config, activities,
      {at::RecordScope::FUNCTION, at::RecordScope::BACKWARD_FUNCTION, at::RecordScope::USER_SCOPE});
}

std::string Profiler::step_ended(const std::string& file) {
  if (steps_ == 0 || seen_ != kWarmUps + steps_) return "";
  ++seen_;
#if CIFAR_HAS_CUDA
  if (device_.is_cuda()) c10::cuda::device_synchronize();
#endif
  const auto result = torch::autograd::profiler::disableProfiler();
  result->save(file);
  return profile_table(events_of(*result, device_), kRows);
}

}  // namespace cifar
