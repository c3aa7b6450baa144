#include "base/signals.h"

#include <pthread.h>
#include <signal.h>

#include <cstdlib>

namespace cifar {
namespace {

bool is_ignored(int signal) {
  struct sigaction action {};
  sigaction(signal, nullptr, &action);
  return action.sa_handler == SIG_IGN;
}

sigset_t stop_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGUSR1);
  // Under nohup the program outlives its terminal. A signal that is blocked would be kept for
  // sigwait all the same.
  if (!is_ignored(SIGHUP)) sigaddset(&set, SIGHUP);
  return set;
}

}  // namespace

Signals::Signals() {
  const sigset_t set = stop_signals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  thread_ = std::thread([this] { watch(); });
}

Signals::~Signals() {
  ending_ = true;
  pthread_kill(thread_.native_handle(), SIGUSR1);  // wakes it
  thread_.join();
}

void Signals::watch() {
  const sigset_t set = stop_signals();
  for (;;) {
    int signal = 0;
    sigwait(&set, &signal);
    if (ending_) return;
    // Launchers repeat SIGUSR1 and SIGTERM (Slurm sends them to the ranks and to srun, which passes
    // them on); only an impatient person ends a held process.
    const bool again = requested_ && signal == SIGINT;
    if (!held_ || again) std::_Exit(128 + signal);
    requested_ = true;
  }
}

}  // namespace cifar
