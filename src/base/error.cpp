#include "base/error.h"

#include "base/printable.h"

namespace cifar {
namespace {

std::string shown(std::string_view part) {
  constexpr size_t kLongest = 5000;
  return part.size() <= kLongest ? printable(part) : printable(part.substr(0, kLongest)) + " ...";
}

}  // namespace

Error::Error(ExitCode code, std::string_view subject, std::string_view found,
             std::string_view expected, std::source_location where)
    : code_(code), message_(shown(subject)) {
  message_.append(": ").append(shown(found));
  if (!expected.empty()) message_.append("; expected ").append(shown(expected));
  const std::string_view file = where.file_name();
  where_ = std::string(file.substr(file.rfind('/') + 1)) + ":" + std::to_string(where.line());
}

}  // namespace cifar
