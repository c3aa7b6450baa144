// Runs what must be refused: the message of the Error it throws, its exit code checked.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "base/error.h"

namespace cifar {

template <typename Call>
std::string refusal(ExitCode code, const Call& call) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "was not refused";
  return {};
}

}  // namespace cifar
