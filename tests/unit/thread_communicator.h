// Ranks as threads of one process: data-parallel logic tested without MPI. A Communicator whose
// sums are taken in rank order. A rank that fails, or returns while others wait for it, ends their
// wait with an Error(kPeerLost).
#pragma once

#include <ATen/Parallel.h>
#include <torch/types.h>

#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "base/error.h"
#include "comm/communicator.h"

namespace cifar {

// What the ranks share: a barrier, and each rank's tensor of the present collective.
class ThreadTeam {
 public:
  explicit ThreadTeam(int size) : tensors_(size), sends_(size) {}

  int size() const { return static_cast<int>(tensors_.size()); }

  void meet() {
    std::unique_lock lock(mutex_);
    const int64_t round = round_;
    if (++waiting_ == size()) {
      waiting_ = 0;
      ++round_;
      changed_.notify_all();
      return;
    }
    changed_.wait(lock, [&] { return round_ != round || left_; });
    if (round_ == round) throw Error(ExitCode::kPeerLost, "threads", "a rank has left");
  }

  void leave() {
    const std::lock_guard lock(mutex_);
    left_ = true;
    changed_.notify_all();
  }

  void sum(int rank, torch::Tensor tensor) {
    show(rank, tensor);
    torch::Tensor result = tensors_[0].clone();
    for (int other = 1; other < size(); ++other) result.add_(tensors_[other]);
    meet();
    tensor.copy_(result);
  }

  void broadcast(int rank, torch::Tensor tensor, int root) {
    show(rank, tensor);
    if (rank != root) tensor.copy_(tensors_[root]);
    meet();
  }

  // Every rank calls it, with empty lists when it has no message.
  void exchange(int rank, const std::vector<Message>& sends, const std::vector<Message>& receives) {
    sends_[rank] = sends;
    meet();
    std::vector<size_t> next(sends_.size());  // where to look on in each rank's list
    for (const auto& [tensor, peer] : receives) {
      size_t& at = next[peer];
      while (at < sends_[peer].size() && sends_[peer][at].peer != rank) ++at;
      if (at == sends_[peer].size()) {
        throw Error(ExitCode::kUsage, "threads", "a receive that nobody sends to");
      }
      check_alike(sends_[peer][at].tensor, tensor);
      tensor.copy_(sends_[peer][at++].tensor);
    }
    meet();
  }

 private:
  static void check_alike(const torch::Tensor& one, const torch::Tensor& other) {
    if (one.sizes() == other.sizes() && one.dtype() == other.dtype()) return;
    throw Error(ExitCode::kUsage, "threads", "tensors of different shape or type");
  }

  void show(int rank, const torch::Tensor& tensor) {
    tensors_[rank] = tensor;
    meet();
    for (const torch::Tensor& other : tensors_) check_alike(other, tensor);
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  int waiting_ = 0;
  int64_t round_ = 0;
  bool left_ = false;
  std::vector<torch::Tensor> tensors_;
  std::vector<std::vector<Message>> sends_;
};

class ThreadCommunicator : public Communicator {
 public:
  ThreadCommunicator(ThreadTeam& team, int rank) : team_(team), rank_(rank) {}

  int rank() const override { return rank_; }
  int size() const override { return team_.size(); }
  std::string name() const override { return "threads"; }

  void start_all_reduce_sum(torch::Tensor tensor) override {
    pending_.push_back(std::move(tensor));
  }
  void finish() override {
    for (const torch::Tensor& tensor : pending_) team_.sum(rank_, tensor);
    pending_.clear();
  }
  void broadcast(torch::Tensor tensor, int root) override { team_.broadcast(rank_, tensor, root); }
  void exchange(const std::vector<Message>& sends, const std::vector<Message>& receives) override {
    team_.exchange(rank_, sends, receives);
  }
  void barrier() override { team_.meet(); }

 private:
  ThreadTeam& team_;
  int rank_;
  std::vector<torch::Tensor> pending_;
};

// Calls `body` on `size` ranks at once, each with one LibTorch thread; throws what the first rank
// threw. LibTorch's random generator is shared: what draws from it is to be made before.
inline void run_ranks(int size, const std::function<void(Communicator&)>& body) {
  ThreadTeam team(size);
  std::vector<std::exception_ptr> errors(size);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      at::set_num_threads(1);
      try {
        ThreadCommunicator comm(team, rank);
        body(comm);
      } catch (...) {
        errors[rank] = std::current_exception();
      }
      team.leave();
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::exception_ptr& error : errors) {
    if (error) std::rethrow_exception(error);
  }
}

}  // namespace cifar
