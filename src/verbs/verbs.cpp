#include "verbs/verbs.h"

#include <fmt/format.h>
#include <torch/version.h>

#include "comm/nccl_communicator.h"
#include "version.h"

#if CIFAR_HAS_CUDA
#include <cuda_runtime_api.h>
#endif

namespace cifar {

double timeout_of(int argc, const char* const* argv) try {
  return parse_command_line(argc, argv).config.run.timeout;
} catch (const Error&) {
  return article_config().run.timeout;
}

ExitCode run_verb(const Invocation& invocation) {
  if (const std::string& note = invocation.world.note(); !note.empty()) {
    invocation.log.warning(note);
  }
  const std::string& verb = invocation.line.verb;
  if (verb == "evaluate") return evaluate(invocation);
  if (verb == "report") return report(invocation);
  if (verb == "predict") return predict(invocation);
  if (verb == "inspect") return inspect(invocation);
  if (verb == "repeat") return repeat(invocation);
  if (verb == "doctor") return doctor(invocation);
  return train(invocation);
}

std::string version_text() {
#if CIFAR_HAS_CUDA
  const std::string gpu = fmt::format("CUDA {}.{}, NCCL {}", CUDART_VERSION / 1000,
                                      CUDART_VERSION / 10 % 100, nccl_version());
#else
  const std::string gpu = "CPU only: built without the CUDA toolkit";
#endif
  return fmt::format("cifar-ddp {} (LibTorch {}, {}, {})", CIFAR_VERSION, TORCH_VERSION,
                     mpi_version(), gpu);
}

}  // namespace cifar
