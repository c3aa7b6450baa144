#include "data/image_set.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace cifar {

// A map rather than a read into memory: the pages are the page cache's own, so that all ranks of a
// node share one copy of the 184 MB, and the next start finds them there. Populated at once,
// because faults in random order would each wait for the disk or the file server.
RecordBlock map_records(const std::string& file, int64_t bytes) {
  const int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) {
    throw Error(ExitCode::kData, file, std::strerror(errno), "a file that can be read");
  }
  void* address = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED | MAP_POPULATE, descriptor, 0);
  const int map_error = errno;
  ::close(descriptor);
  if (address == MAP_FAILED) {
    throw Error(ExitCode::kData, file, std::strerror(map_error), "a file that can be mapped");
  }
  return {{static_cast<const uint8_t*>(address),
           [address, bytes](const uint8_t*) { ::munmap(address, bytes); }},
          bytes / kRecordBytes};
}

ImageSet::ImageSet(std::vector<RecordBlock> blocks) : blocks_(std::move(blocks)) {
  for (const RecordBlock& block : blocks_) size_ += block.records;
  if (size_ > 0) block_size_ = blocks_.front().records;
}

std::array<int64_t, kClasses> ImageSet::class_counts() const {
  std::array<int64_t, kClasses> counts = {};
  for (int64_t i = 0; i < size_; ++i) ++counts[label(i)];
  return counts;
}

}  // namespace cifar
