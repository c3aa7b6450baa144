// The checksum by the vectors of RFC 3720, B.4, the record by its layout. That TensorBoard reads
// the file is tested end to end.
#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "report/tensorboard.h"

namespace cifar {
namespace {

using namespace std::string_literals;

TEST(Crc32c, HasThePublishedValues) {
  std::string up, down;
  for (int i = 0; i < 32; ++i) {
    up += static_cast<char>(i);
    down += static_cast<char>(31 - i);
  }
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  EXPECT_EQ(crc32c(up), 0x46dd794eu);
  EXPECT_EQ(crc32c(down), 0x113fdb5cu);
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(crc32c(""), 0u);
}

// A length of 8 bytes, its checksum, the bytes, their checksum.
TEST(Record, IsFramed) {
  const std::string record = tensorboard_record("123456789");
  ASSERT_EQ(record.size(), 8 + 4 + 9 + 4);
  EXPECT_EQ(record.substr(0, 8), "\x09\0\0\0\0\0\0\0"s);
  EXPECT_EQ(record.substr(12, 9), "123456789");
  // 0xe3069283 rotated right by 15 bits is 0x2507c60d; plus 0xa282ead8 it is 0xc78ab0e5.
  EXPECT_EQ(record.substr(21), "\xe5\xb0\x8a\xc7"s);
}

TEST(Scalars, AreOfEachNumber) {
  RunRecord run;
  run.epochs.push_back({.epoch = 1,
                        .step = 704,
                        .train_loss = 1.5,
                        .train_accuracy = 0.5,
                        .val_loss = std::numeric_limits<double>::quiet_NaN(),
                        .val_accuracy = std::numeric_limits<double>::quiet_NaN(),
                        .learning_rate = 0.001,
                        .images_per_second = 4000,
                        .seconds_train = 1,
                        .seconds_data = 0,
                        .seconds_compute = 1,
                        .seconds_communication = 0,
                        .seconds_validation = 0,
                        .seconds_checkpoint = 0});
  std::vector<std::string> tags;
  for (const Scalar& scalar : scalars_of(run)) {
    EXPECT_EQ(scalar.step, 704);
    tags.push_back(scalar.tag);
  }
  EXPECT_EQ(tags, (std::vector<std::string>{"loss/train", "accuracy/train", "learning_rate",
                                            "images_per_second"}));
}

}  // namespace
}  // namespace cifar
