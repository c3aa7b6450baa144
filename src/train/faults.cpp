#include "train/faults.h"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <random>
#include <string_view>
#include <thread>

#include "base/error.h"
#include "base/log.h"

namespace cifar {
namespace {

constexpr double kLongestDelay = 1e6;

bool started_again() {
  const char* count = std::getenv("CIFAR_RESTART_COUNT");
  return count != nullptr && std::atoi(count) > 0;
}

template <class Number>
bool read(std::string_view text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

// Takes one fault apart; `draws` gives four random numbers to each, needed or not.
class FaultText {
 public:
  FaultText(std::string_view text, std::mt19937_64& draws)
      : text_(text), draws_{draws(), draws(), draws(), draws()} {}

  Fault parse(int64_t steps, int ranks) const {
    const size_t at = text_.find('@'), colon = text_.find(':', at);
    if (colon == std::string_view::npos) refuse("ACTION@STEP:RANK");
    Fault fault = action(text_.substr(0, at));
    fault.step = place(text_.substr(at + 1, colon - at - 1), draws_[0], 1, steps, "step");
    fault.rank = place(text_.substr(colon + 1), draws_[1], 0, ranks - 1, "rank");
    fault.text = fmt::format("{}@{}:{}", text_.substr(0, at), fault.step, fault.rank);
    return fault;
  }

 private:
  Fault action(std::string_view word) const {
    using Action = Fault::Action;
    Fault fault{Action::kDelay, 0, 0, 0, draws_[2], draws_[3]};
    if (word.starts_with("delay=")) {
      const bool good = read(word.substr(6), fault.seconds);
      if (!good || !(fault.seconds >= 0 && fault.seconds <= kLongestDelay)) {
        refuse(fmt::format("delay=SECONDS, a number from 0 to {}", kLongestDelay));
      }
      return fault;
    }
    const std::pair<std::string_view, Action> actions[] = {{"kill", Action::kKill},
                                                           {"stop", Action::kStop},
                                                           {"bitflip", Action::kBitflip},
                                                           {"nan", Action::kNan}};
    for (const auto& [name, action] : actions) {
      fault.action = action;
      if (word == name) return fault;
    }
    refuse("kill, stop, delay=SECONDS, bitflip or nan before the @");
  }

  int64_t place(std::string_view word, uint64_t draw, int64_t low, int64_t high,
                const char* what) const {
    if (word == "random")
      return low + static_cast<int64_t>(draw % static_cast<uint64_t>(high - low + 1));
    int64_t number = 0;
    if (!read(word, number) || number < low || number > high) {
      refuse(fmt::format("a {} from {} to {}, or random", what, low, high));
    }
    return number;
  }

  [[noreturn]] void refuse(const std::string& expected) const {
    throw Error(ExitCode::kUsage, "--fault", text_.empty() ? "empty" : text_, expected);
  }

  std::string_view text_;
  uint64_t draws_[4];
};

void flip_bit(const Fault& fault, const FlatState& state) {
  int64_t total = 0;
  for (const FlatEntry& entry : state.parameter_entries()) total += entry.size;
  auto element = static_cast<int64_t>(fault.which % static_cast<uint64_t>(total));
  for (const FlatEntry& entry : state.parameter_entries()) {
    if (element >= entry.size) {
      element -= entry.size;
      continue;
    }
    const auto bit = static_cast<int32_t>(fault.bit % 32);
    const auto bits = state.parameters().view(torch::kInt32);
    bits[entry.offset + element].bitwise_xor_(static_cast<int32_t>(uint32_t{1} << bit));
    print_message(fmt::format("fault: bit {} of element {} of {}", bit, element, entry.name));
    return;
  }
}

}  // namespace

std::vector<Fault> parse_faults(const std::string& spec, uint64_t seed, int64_t steps, int ranks) {
  std::vector<Fault> faults;
  std::mt19937_64 draws(seed);
  std::string_view rest = spec;
  for (bool more = !spec.empty(); more;) {
    const size_t comma = rest.find(',');
    more = comma != std::string_view::npos;
    faults.push_back(FaultText(rest.substr(0, comma), draws).parse(steps, ranks));
    if (more) rest.remove_prefix(comma + 1);
  }
  return faults;
}

Faults::Faults(const std::string& spec, uint64_t seed, int64_t steps, int rank, int ranks) {
  if (started_again()) return;  // maybe on fewer ranks: the SPEC need not fit any more
  for (Fault& fault : parse_faults(spec, seed, steps, ranks)) {
    if (fault.rank == rank) mine_.push_back(std::move(fault));
  }
}

void Faults::before_step(int64_t step, const FlatState& state) {
  torch::NoGradGuard no_grad;
  heal_gradient();
  for (const Fault& fault : mine_) {
    if (fault.step != step) continue;
    print_message("fault: " + fault.text);
    switch (fault.action) {
      case Fault::Action::kKill:
        kill(getpid(), SIGKILL);
        break;
      case Fault::Action::kStop:
        kill(getpid(), SIGSTOP);
        break;
      case Fault::Action::kDelay:
        std::this_thread::sleep_for(std::chrono::duration<double>(fault.seconds));
        break;
      case Fault::Action::kBitflip:
        flip_bit(fault, state);
        break;
      case Fault::Action::kNan:
        spoil_gradient(fault, state);
        break;
    }
  }
}

void Faults::spoil_gradient(const Fault& fault, const FlatState& state) {
  const auto& entries = state.parameter_entries();
  spoilt_ = entries[fault.which % entries.size()].tensor;
  hook_ = spoilt_.register_hook([](const torch::Tensor& gradient) {
    torch::Tensor spoilt = gradient.clone();
    spoilt.as_strided({1}, {1}).fill_(std::numeric_limits<double>::quiet_NaN());
    return spoilt;
  });
}

void Faults::heal_gradient() {
  if (!spoilt_.defined()) return;
  spoilt_.remove_hook(hook_);
  spoilt_.reset();
}

}  // namespace cifar
