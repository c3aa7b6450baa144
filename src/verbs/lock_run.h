// When a training takes the lock of its run directory.
#pragma once

#include <memory>
#include <string>

#include "train/run_lock.h"
#include "verbs/verbs.h"

namespace cifar {

// Every rank calls it, before anything of the run is read; rank 0 alone gets a lock, if --run-dir
// or --resume names a folder that is there. It may take a minute to find out whether a process on
// another host still trains there; the ranks wait for each other within --timeout all the same.
std::shared_ptr<RunLock> lock_run(const Invocation& invocation);

// The lock of a folder that was not there before, which is made.
std::shared_ptr<RunLock> lock_new_run(const std::string& folder, const Log& log);

}  // namespace cifar
