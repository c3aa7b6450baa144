// Everything that the next step depends on: what a checkpoint holds and a resume brings back.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "config/config.h"
#include "model/network.h"
#include "parallel/flat_state.h"
#include "parallel/replicas.h"
#include "train/optimizer_group.h"

namespace cifar {

// How far the run is. `step` steps are done in all, `step_in_epoch` of them in `epoch` (from 0);
// the sums are of the current epoch.
struct Position {
  int64_t epoch = 0;
  int64_t step_in_epoch = 0;
  int64_t step = 0;
  int64_t samples = 0;
  double loss_sum = 0;
  double correct = 0;
};

struct TrainState {
  // `comm` chooses the memory of the gradients, and optimizers may divide their work over its
  // ranks; it must outlive the state. Null: any memory, one rank.
  TrainState(const Config& config, torch::Device device, Communicator* comm = nullptr);

  std::shared_ptr<Network> network;
  FlatState flat;
  std::vector<OptimizerGroup> groups;
  Position position;
  std::string data_hash;  // of the images that it is trained on; empty: not said

  // The state of a run that begins, with the weights that config's seed draws, in the memory of
  // the one before. The recipe's network and optimizers must be the same.
  void begin_anew(const Config& config);

  // Updates so far, the same of every group.
  int64_t updates() const { return groups.front().optimizer->steps(); }
  void set_updates(int64_t updates);
};

// Every rank takes rank `root`'s state, bit for bit.
void broadcast(TrainState& state, Communicator& comm, int root = 0);

// Parameters, buffers, the optimizer's state, tensor by tensor, and the counters: what must be
// equal on all ranks.
std::vector<ReplicaTensor> replica_tensors(const TrainState& state);

// The network of a recipe, for those who need no training state.
std::shared_ptr<Network> make_network(const Config& config, int64_t most_weights = kMostNumbers);

}  // namespace cifar
