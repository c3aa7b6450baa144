#include "comm/roll_call.h"

#include <algorithm>
#include <thread>

namespace cifar {
namespace {

constexpr int kTag = 1;
constexpr int kWords = sizeof(Answer) / sizeof(int64_t);

// Long enough for a rank that is ahead to come to its next wait, and for mpirun to end the ranks
// (one second) before the next turn. With MPI_Abort's own time they make the ten seconds in which a
// job ends.
constexpr double kListenSeconds = 2;
constexpr double kTurnSeconds = 2.5;
constexpr double kHearingSeconds = 0.1;  // between two looks for a roll call

using Answers = std::vector<std::optional<Answer>>;

void sleep(double seconds) {
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

// Errors are not looked at: a rank that cannot be reached is one that does not answer.
void send_to_all(const World& world, Answer& mine) {
  World::Mpi& mpi = *world.mpi();
  const std::lock_guard lock(mpi.mutex);
  mine.begun = mpi.begun;
  const auto words = torch::tensor({mine.begun, mine.step, static_cast<int64_t>(mine.reason)});
  mpi.abandoned.push_back(words);
  for (int rank = 0; rank < world.size(); ++rank) {
    if (rank == world.rank()) continue;
    MPI_Request request = MPI_REQUEST_NULL;
    MPI_Isend(words.data_ptr(), kWords, MPI_INT64_T, rank, kTag, mpi.roll, &request);
    if (request != MPI_REQUEST_NULL) MPI_Request_free(&request);
  }
}

void receive_answers(World::Mpi& mpi, Answers& answers) {
  const std::lock_guard lock(mpi.mutex);
  for (;;) {
    int there = 0;
    MPI_Status status;
    MPI_Iprobe(MPI_ANY_SOURCE, kTag, mpi.roll, &there, &status);
    if (!there) return;
    Answer answer{};
    MPI_Recv(&answer, kWords, MPI_INT64_T, status.MPI_SOURCE, kTag, mpi.roll, MPI_STATUS_IGNORE);
    answers[status.MPI_SOURCE] = answer;
  }
}

Answers call_roll(const World& world, Answer mine, double timeout) {
  Answers answers(world.size());
  send_to_all(world, mine);
  answers[world.rank()] = mine;
  const Deadline end(std::min(kListenSeconds, timeout));
  const auto answered = [](const auto& answer) { return answer.has_value(); };
  while (!std::all_of(answers.begin(), answers.end(), answered) && !end.passed()) {
    receive_answers(*world.mpi(), answers);
    sleep(0.01);
  }
  return answers;
}

}  // namespace

bool roll_call_heard(World::Mpi& mpi) {
  const std::lock_guard lock(mpi.mutex);
  int there = 0;
  MPI_Iprobe(MPI_ANY_SOURCE, kTag, mpi.roll, &there, MPI_STATUS_IGNORE);
  return there != 0;
}

PeerLost peer_lost(const World& world, const Operation& operation, double timeout, Reason reason,
                   const std::string& failure) {
  RollCall roll{operation, timeout, failure, {}, world.hosts()};
  if (World::Mpi* mpi = world.mpi()) {
    const std::lock_guard gate(mpi->giving_up);
    roll.answers = call_roll(world, {0, operation.step, reason}, timeout);
    sleep(kTurnSeconds * roll.turn(world.rank()));
  } else {
    roll.answers = {Answer{0, operation.step, reason}};
  }
  return {ExitCode::kPeerLost, operation.text(), roll.found(), roll.expected()};
}

Operation next_operation(const World& world, const char* name, int64_t step) {
  World::Mpi& mpi = *world.mpi();
  const std::lock_guard lock(mpi.mutex);
  return {name, step, mpi.begun++};
}

void await(const World& world, MPI_Request& request, const Operation& operation,
           Deadline& deadline) {
  const auto lost = [&](Reason reason, const std::string& failure = "") {
    return peer_lost(world, operation, deadline.seconds(), reason, failure);
  };
  World::Mpi& mpi = *world.mpi();
  Deadline hearing(kHearingSeconds), absence(kAbsenceSeconds);
  for (;;) {
    int done = 0, status = MPI_SUCCESS;
    {
      const std::lock_guard lock(mpi.mutex);
      status = MPI_Test(&request, &done, MPI_STATUS_IGNORE);
    }
    if (status != MPI_SUCCESS) throw lost(Reason::kFailed, mpi_error_text(status));
    if (done) return;
    if (hearing.passed()) {
      if (absence.passed()) deadline = Deadline(deadline.seconds());
      if (roll_call_heard(mpi)) throw lost(Reason::kCalled);
      if (deadline.passed()) throw lost(Reason::kLate);
      hearing = Deadline(kHearingSeconds);
      absence = Deadline(kAbsenceSeconds);
    }
    std::this_thread::yield();  // several ranks may share a core
  }
}

}  // namespace cifar
