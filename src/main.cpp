// cifar-ddp: arguments -> world -> verb. Everything that lives as long as the program is owned
// here.

#include <chrono>
#include <cstdio>
#include <optional>
#include <thread>

#include "base/memory.h"
#include "comm/communicator.h"
#include "verbs/verbs.h"

namespace {

constexpr int kFailure = 1;  // an internal error, or lines that nobody got

// Prints the error once for the whole job and ends all ranks. An error that every rank meets is
// told by rank 0, whose abort ends the others while they wait; a held SIGTERM would not.
[[noreturn]] void fail(const std::optional<cifar::World>& world, cifar::Signals& signals, int code,
                       std::string_view message, const std::string& where, bool at_once = false) {
  signals.release();
  const int rank = world ? world->rank() : 0;
  if (rank != 0 && !at_once) std::this_thread::sleep_for(std::chrono::seconds(3));
  cifar::print_error(message, world ? world->context(where) : where);
  std::fflush(nullptr);
  if (world || at_once) cifar::World::abort(code);  // at once: others may wait for ever
  std::_Exit(code);
}

// A run that is done stays done, with its files; but what it had to say is part of the work.
int exit_code_of(cifar::ExitCode code, const cifar::Log& log, const cifar::World& world) {
  const std::string reason = log.write_failure();
  if (reason.empty()) return static_cast<int>(code);
  const std::string text = "standard output: " + reason + "; expected room for every line";
  if (code != cifar::ExitCode::kDone) {
    log.warning(text);
    return static_cast<int>(code);
  }
  cifar::print_error(text, world.context("the work itself is done"));
  return kFailure;
}

}  // namespace

int main(int argc, char** argv) {
  cifar::prepare_output();
  cifar::keep_freed_memory();
  cifar::Signals signals;
  std::optional<cifar::World> world;
  try {
    world.emplace(&argc, &argv, cifar::timeout_of(argc, argv));
    const cifar::Log log(world->rank());
    const cifar::Invocation invocation{argc,   argv,    cifar::parse_command_line(argc, argv),
                                       *world, signals, log};
    const cifar::CommandLine& line = invocation.line;
    cifar::ExitCode code = cifar::ExitCode::kDone;
    if (line.help || line.version) {
      log.lines(line.help ? cifar::help_text(line.verb_given ? line.verb : "")
                          : cifar::version_text());
    } else {
      code = cifar::run_verb(invocation);
    }
    return exit_code_of(code, log, *world);
  } catch (const cifar::PeerLost& error) {
    fail(world, signals, static_cast<int>(error.code()), error.what(), error.where(), true);
  } catch (const cifar::Error& error) {
    fail(world, signals, static_cast<int>(error.code()), error.what(), error.where());
  } catch (const std::exception& error) {
    fail(world, signals, kFailure, error.what(), "internal error");
  }
}
