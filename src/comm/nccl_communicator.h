// The nccl body: CUDA tensors over NCCL on a stream of its own, so that a reduction runs beside
// backward; CPU tensors go over MPI. Does not take two ranks on one GPU.
//
// NCCL's communicator is non-blocking: a call that is still under way is asked for until it is done
// or the deadline has passed. What the device has been given is watched by a thread, because the
// host never waits for it, or waits in CUDA, where nothing can be broken off. When the device does
// not get on, the thread tells who is missing and ends the job itself: to break off the collective
// and go on would train on half of a sum. A capture of the stream has to be thread-local.
#pragma once

#include <memory>

#include "comm/communicator.h"

namespace cifar {

std::unique_ptr<Communicator> make_nccl_communicator(const World& world, double timeout);

// "2.28.9", or "not built in".
std::string nccl_version();

}  // namespace cifar
