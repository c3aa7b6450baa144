// The CPU quota of control groups, read from made-up /proc and /sys trees.
#include <gtest/gtest.h>

#include <filesystem>

#include "base/cpu_quota.h"
#include "base/files.h"
#include "temp_folder.h"

namespace cifar {
namespace {

class CpuQuotaTest : public testing::Test {
 protected:
  void put(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(root_ / path).parent_path());
    write_file(root_ / path, text, ExitCode::kUsage);
  }

  void second_version(const std::string& group, const std::string& mounted = "/") {
    put("proc/self/cgroup", "0::" + group + "\n");
    put("proc/self/mountinfo",
        "22 1 0:20 / /proc rw - proc proc rw\n30 1 0:26 " + mounted +
            " /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n");
  }

  void first_version(const std::string& group) {
    put("proc/self/cgroup", "5:cpuset:/\n4:cpu,cpuacct:" + group + "\n0::/\n");
    put("proc/self/mountinfo",
        "31 1 0:27 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
        "32 1 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n");
  }

  double found() {
    const auto quota = cpu_quota(root_.path());
    return quota ? quota->cpus : 0;
  }

  TempFolder root_;
};

TEST_F(CpuQuotaTest, ThereIsNoneWithoutGroups) {
  EXPECT_EQ(found(), 0);
}

TEST_F(CpuQuotaTest, SecondVersion) {
  second_version("/job7");
  put("sys/fs/cgroup/job7/cpu.max", "150000 100000\n");
  EXPECT_EQ(found(), 1.5);
  EXPECT_EQ(cpu_quota(root_.path())->file, root_ / "sys/fs/cgroup/job7/cpu.max");
  put("sys/fs/cgroup/job7/cpu.max", "max 100000\n");
  EXPECT_EQ(found(), 0);
}

TEST_F(CpuQuotaTest, TheTightestOfTheGroupsAbove) {
  second_version("/user/job7/step0");
  put("sys/fs/cgroup/user/job7/step0/cpu.max", "max 100000\n");
  put("sys/fs/cgroup/user/job7/cpu.max", "400000 100000\n");
  put("sys/fs/cgroup/user/cpu.max", "20000 10000\n");
  EXPECT_EQ(found(), 2);
}

TEST_F(CpuQuotaTest, TheGroupThatAContainerSeesAsTheFirst) {
  second_version("/");
  put("sys/fs/cgroup/cpu.max", "100000 100000\n");
  EXPECT_EQ(found(), 1);
}

TEST_F(CpuQuotaTest, TheGroupWhoseMountAContainerSees) {
  second_version("/docker/c0ffee/inner", "/docker/c0ffee");
  put("sys/fs/cgroup/cpu.max", "300000 100000\n");
  put("sys/fs/cgroup/inner/cpu.max", "200000 100000\n");
  EXPECT_EQ(found(), 2);
  second_version("/elsewhere", "/docker/c0ffee");
  EXPECT_EQ(found(), 3);
}

TEST_F(CpuQuotaTest, FirstVersion) {
  first_version("/slurm/job_7");
  put("sys/fs/cgroup/cpu,cpuacct/slurm/job_7/cpu.cfs_quota_us", "-1\n");
  put("sys/fs/cgroup/cpu,cpuacct/slurm/job_7/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(found(), 0);
  put("sys/fs/cgroup/cpu,cpuacct/slurm/cpu.cfs_quota_us", "250000\n");
  put("sys/fs/cgroup/cpu,cpuacct/slurm/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(found(), 2.5);
}

TEST(CoresOfQuota, WholeOnesAtLeastOneShared) {
  EXPECT_EQ(cores_of_quota({1, ""}, 1), 1);
  EXPECT_EQ(cores_of_quota({0.2, ""}, 1), 1);
  EXPECT_EQ(cores_of_quota({1.4, ""}, 1), 1);
  EXPECT_EQ(cores_of_quota({1.5, ""}, 1), 2);
  EXPECT_EQ(cores_of_quota({7.9, ""}, 3), 2);
  EXPECT_EQ(cores_of_quota({2, ""}, 4), 1);
}

}  // namespace
}  // namespace cifar
