#include "comm/roll_call_rules.h"

#include <fmt/format.h>

#include <algorithm>

namespace cifar {
namespace {

bool has_come(const Answer& answer, const Operation& operation) {
  if (operation.number >= 0) return answer.begun > operation.number;
  return answer.step < 0 || answer.step >= operation.step;  // one without a step may be anywhere
}

}  // namespace

std::string Operation::text() const {
  return step < 0 ? name : fmt::format("{} of step {}", name, step);
}

std::string name_ranks(const std::vector<int>& ranks, const std::vector<std::string>& hosts) {
  const auto host = [&](int rank) {
    return static_cast<size_t>(rank) < hosts.size() ? hosts[rank] : std::string();
  };
  std::string text = ranks.size() == 1 ? "rank " : "ranks ";
  for (size_t k = 0; k < ranks.size();) {
    const int first = ranks[k];
    int last = first;
    while (++k < ranks.size() && ranks[k] == last + 1 && host(ranks[k]) == host(first)) ++last;
    if (!text.ends_with(' ')) text += ", ";
    text += first == last ? fmt::format("{}", first) : fmt::format("{}-{}", first, last);
    if (!host(first).empty()) text += fmt::format(" (host {})", host(first));
  }
  return text;
}

std::vector<int> RollCall::missing() const {
  std::vector<int> silent, behind;
  for (size_t rank = 0; rank < answers.size(); ++rank) {
    if (!answers[rank]) {
      silent.push_back(static_cast<int>(rank));
    } else if (!has_come(*answers[rank], operation)) {
      behind.push_back(static_cast<int>(rank));
    }
  }
  return silent.empty() ? behind : silent;
}

int RollCall::turn(int rank) const {
  const auto own_reason = [](const auto& answer) {
    return answer && answer->reason != Reason::kCalled;
  };
  const auto first = std::find_if(answers.begin(), answers.end(), own_reason);
  if (first - answers.begin() != rank) return 2;
  const auto missing =
      std::count_if(answers.begin(), answers.end(), [](const auto& answer) { return !answer; });
  const auto there = static_cast<ptrdiff_t>(answers.size()) - missing;
  return there > missing || (there == missing && answers[0]) ? 0 : 1;
}

std::string RollCall::found() const {
  const std::vector<int> ranks = missing();
  const auto is_late = [](const auto& answer) { return answer && answer->reason == Reason::kLate; };
  const bool late = std::any_of(answers.begin(), answers.end(), is_late);
  const std::string who = ranks.empty() ? "" : name_ranks(ranks, hosts);
  if (!failure.empty()) return who.empty() ? failure : who + " lost: " + failure;
  if (who.empty()) return fmt::format("not done within {} s, though all ranks are there", timeout);
  // Without a deadline that has passed, another rank had its connection broken.
  return late ? fmt::format("{} did not arrive within {} s", who, timeout) : who + " lost";
}

std::string RollCall::expected() const {
  return missing().empty() ? "every message to arrive (--timeout)"
                           : fmt::format("all {} ranks (--timeout)", answers.size());
}

}  // namespace cifar
