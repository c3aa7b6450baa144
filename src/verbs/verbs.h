// What the program can do, one file each. A verb gets the parsed command line and what main owns;
// every rank calls it. Errors leave as exceptions.
#pragma once

#include "base/error.h"
#include "base/log.h"
#include "base/signals.h"
#include "comm/world.h"
#include "config/load.h"

namespace cifar {

struct Invocation {
  int argc;
  const char* const* argv;
  CommandLine line;
  const World& world;
  Signals& signals;
  const Log& log;
};

ExitCode train(const Invocation& invocation);
ExitCode evaluate(const Invocation& invocation);
ExitCode report(const Invocation& invocation);
ExitCode predict(const Invocation& invocation);
ExitCode inspect(const Invocation& invocation);
ExitCode repeat(const Invocation& invocation);
ExitCode doctor(const Invocation& invocation);

// The deadline that the command line gives the world. What is wrong with it is told once there is a
// world to tell it for.
double timeout_of(int argc, const char* const* argv);

// Calls the verb that the command line names.
ExitCode run_verb(const Invocation& invocation);

// "cifar-ddp 0.1.0 (LibTorch 2.11.0, CUDA 13.0, NCCL 2.28.9, MPI ...)", or that it is CPU-only.
std::string version_text();

}  // namespace cifar
