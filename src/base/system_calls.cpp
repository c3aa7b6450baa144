#include "base/system_calls.h"

#include <poll.h>
#include <unistd.h>

namespace cifar {

size_t write_bytes(int descriptor, std::string_view bytes) {
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t written =
        uninterrupted([&] { return write(descriptor, bytes.data() + done, bytes.size() - done); });
    if (written > 0) {
      done += static_cast<size_t>(written);
    } else if (written < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      // The other end of a pipe or a terminal may have asked for this, for itself.
      pollfd room = {descriptor, POLLOUT, 0};
      uninterrupted([&] { return poll(&room, 1, /*timeout=*/-1); });
    } else {
      if (written == 0) errno = EIO;
      break;
    }
  }
  return done;
}

}  // namespace cifar
