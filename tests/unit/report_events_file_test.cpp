// What is added to an events file, and that it is added alone. That TensorBoard understands it is
// tested end to end.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/files.h"
#include "report/events_file.h"
#include "temp_folder.h"

namespace cifar {
namespace {

using testing::SizeIs;
using testing::StartsWith;

std::vector<Scalar> losses(const std::vector<float>& values) {
  std::vector<Scalar> scalars;
  for (const float value : values) {
    const auto step = static_cast<int64_t>(10 * (scalars.size() + 1));
    scalars.push_back({"loss/train", step, value, 1e9});
  }
  return scalars;
}

std::vector<float> values_of(const KnownEvents& known) {
  std::vector<float> values;
  for (const Scalar& scalar : known.scalars) values.push_back(scalar.value);
  return values;
}

KnownEvents after(const std::string& bytes) {
  KnownEvents known;
  read_events(bytes, known);
  return known;
}

TEST(Events, AreReadBack) {
  const Scalar scalar{"accuracy/val", 1LL << 40, -0.125f, 1e9};
  const KnownEvents known = after(version_event(1e9) + start_event(0, 1e9) + scalar_event(scalar));
  ASSERT_THAT(known.scalars, SizeIs(1));
  EXPECT_EQ(known.scalars[0].tag, scalar.tag);
  EXPECT_EQ(known.scalars[0].step, scalar.step);
  EXPECT_EQ(known.scalars[0].value, scalar.value);
  EXPECT_EQ(known.starts, 1);
  EXPECT_TRUE(known.whole);
}

TEST(Events, WhatIsThereIsNotAddedAgain) {
  const auto wanted = losses({3, 2, 1});
  const std::string bytes = events_to_add({}, wanted);
  EXPECT_EQ(values_of(after(bytes)), (std::vector<float>{3, 2, 1}));
  EXPECT_EQ(events_to_add(after(bytes), wanted), "");
}

TEST(Events, WhatIsNewIsAddedAlone) {
  const std::string bytes = events_to_add({}, losses({3, 2}));
  EXPECT_EQ(events_to_add(after(bytes), losses({3, 2, 1})), scalar_event(losses({3, 2, 1})[2]));
}

TEST(Events, WhatIsTrainedAnewTakesBackWhatWasThere) {
  std::string bytes = events_to_add({}, losses({5, 4, 3, 2}));
  bytes += events_to_add(after(bytes), losses({5, 4, 7}));
  EXPECT_EQ(values_of(after(bytes)), (std::vector<float>{5, 4, 7}));
  bytes += events_to_add(after(bytes), losses({5}));
  EXPECT_EQ(values_of(after(bytes)), (std::vector<float>{5}));
  bytes += events_to_add(after(bytes), losses({6, 5}));
  EXPECT_EQ(values_of(after(bytes)), (std::vector<float>{6, 5}));
}

// Files of versions that wrote no start: the first one takes nothing back.
TEST(Events, OfAnOlderFileAreGoneOnWith) {
  std::string bytes = version_event(1e9);
  for (const Scalar& scalar : losses({5, 4, 3})) bytes += scalar_event(scalar);
  const std::string added = events_to_add(after(bytes), losses({5, 4, 8, 7}));
  EXPECT_EQ(values_of(after(bytes + added)), (std::vector<float>{5, 4, 8, 7}));
  EXPECT_EQ(events_to_add(after(bytes), losses({5, 4, 3})), "");
}

// Cut off anywhere, or with any byte changed: what is before counts, and nothing is read beyond.
TEST(Events, DamagedBytesEndTheReading) {
  const std::string sound = version_event(1e9) + scalar_event(losses({5})[0]);
  const std::string bytes = sound + scalar_event(losses({5, 4})[1]);
  for (size_t size = sound.size() + 1; size < bytes.size(); ++size) {
    const KnownEvents known = after(bytes.substr(0, size));
    EXPECT_EQ(values_of(known), (std::vector<float>{5}));
    EXPECT_FALSE(known.whole) << size;
  }
  for (size_t at = sound.size(); at < bytes.size(); ++at) {
    std::string changed = bytes;
    changed[at] = static_cast<char>(changed[at] ^ 0x81);
    EXPECT_FALSE(after(changed).whole) << at;
  }
}

class EventsFile : public testing::Test {
 protected:
  // With so many epochs.
  void update(int epochs) {
    RunRecord run;
    run.path = temp_.path();
    for (int i = 1; i <= epochs; ++i) {
      EpochLine line{};
      line.step = i;
      line.train_loss = 1.0 / i;
      run.epochs.push_back(line);
    }
    update_events(run);
  }
  std::string bytes(const std::string& ending = "") const {
    return read_file(temp_ / kEventsFile + ending, ExitCode::kUsage);
  }

  TempFolder temp_;
};

TEST_F(EventsFile, IsOnlyAddedTo) {
  update(0);
  std::string before = bytes();
  EXPECT_TRUE(after(before).whole);
  for (int epochs = 1; epochs < 4; ++epochs) {
    update(epochs);
    EXPECT_THAT(bytes(), StartsWith(before));
    EXPECT_GT(bytes().size(), before.size());
    before = bytes();
    update(epochs);
    EXPECT_EQ(bytes(), before);
  }
}

TEST_F(EventsFile, BehindHalfARecordAnotherBegins) {
  update(2);
  const std::string half = bytes().substr(0, bytes().size() - 3);
  std::filesystem::resize_file(temp_ / kEventsFile, half.size());
  update(3);
  EXPECT_EQ(bytes(), half);
  KnownEvents known = after(half);
  read_events(bytes(".002"), known);
  EXPECT_THAT(known.scalars, SizeIs(3 * 6));  // six curves of three epochs
  update(3);
  EXPECT_FALSE(std::filesystem::exists(temp_ / kEventsFile + ".003"));
}

}  // namespace
}  // namespace cifar
