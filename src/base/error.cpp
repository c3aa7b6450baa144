#include "base/error.h"

#include "base/printable.h"

namespace cifar {

Error::Error(ExitCode code, std::string_view subject, std::string_view found,
             std::string_view expected, std::source_location where)
    : code_(code), message_(printable(subject)) {
  message_.append(": ").append(printable(found));
  if (!expected.empty()) message_.append("; expected ").append(printable(expected));
  const std::string_view file = where.file_name();
  where_ = std::string(file.substr(file.rfind('/') + 1)) + ":" + std::to_string(where.line());
}

}  // namespace cifar
