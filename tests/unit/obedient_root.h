// While it lives, root heeds the permissions of files as their owner does: without the two
// capabilities that read and search past them. For anybody else it does nothing.
#pragma once

#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>

namespace cifar {

class ObedientRoot {
 public:
  ObedientRoot() {
    syscall(SYS_capget, &header_, before_.data());
    auto now = before_;
    now[0].effective &= ~(1u << CAP_DAC_OVERRIDE | 1u << CAP_DAC_READ_SEARCH);
    syscall(SYS_capset, &header_, now.data());
  }
  ~ObedientRoot() { syscall(SYS_capset, &header_, before_.data()); }
  ObedientRoot(const ObedientRoot&) = delete;
  ObedientRoot& operator=(const ObedientRoot&) = delete;

 private:
  __user_cap_header_struct header_{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> before_{};
};

}  // namespace cifar
