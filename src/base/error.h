// The one error type: what is wrong, what was found, what was expected, and which exit code it
// means. Rank and host are added where it is printed, in main.
#pragma once

#include <exception>
#include <source_location>
#include <string>
#include <string_view>

namespace cifar {

// The program's exit codes. Scripts rely on them; restarting helps after 6 and 75 alone.
enum class ExitCode : int {
  kDone = 0,
  kUsage = 2,           // arguments or configuration
  kData = 3,            // data set, or a picture to predict
  kCheckpoint = 4,      // checkpoint
  kDiverged = 5,        // loss or gradient not finite
  kPeerLost = 6,        // a peer lost or late
  kReplicasDiffer = 7,  // replicas differ
  kStopped = 75,        // asked to stop; checkpoint written; start again to go on
};

class Error : public std::exception {
 public:
  // Reads "SUBJECT: FOUND; expected EXPECTED"; an empty `expected` leaves that part out. One line,
  // whatever the parts hold: printable() of them, cut where one is longer than any path.
  Error(ExitCode code, std::string_view subject, std::string_view found,
        std::string_view expected = {},
        std::source_location where = std::source_location::current());

  const char* what() const noexcept override { return message_.c_str(); }
  ExitCode code() const { return code_; }
  // "cifar10.cpp:40", the check that failed.
  const std::string& where() const { return where_; }

 private:
  ExitCode code_;
  std::string message_;
  std::string where_;
};

}  // namespace cifar
