// "~/" in every option that is a path, from whatever source.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include "config/home.h"
#include "config/load.h"
#include "config/toml_file.h"
#include "config/values.h"
#include "refusal.h"

namespace cifar {
namespace {

// A variable of the environment as a test wants it, and as it was afterwards.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) {
    if (const char* old = std::getenv(name)) old_ = old;
    set(value);
  }
  ~Variable() { set(old_ ? old_->c_str() : nullptr); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  void set(const char* value) const {
    value == nullptr ? unsetenv(name_) : setenv(name_, value, 1);
  }
  const char* name_;
  std::optional<std::string> old_;
};

Config parsed(std::vector<const char*> flags) {
  flags.insert(flags.begin(), "cifar-ddp");
  flags.push_back(nullptr);
  return parse_command_line(static_cast<int>(flags.size() - 1), flags.data()).config;
}

TEST(ExpandHome, IsAShells) {
  const Variable home("HOME", "/home/ann");
  const std::pair<const char*, const char*> rows[] = {{"~", "/home/ann"},
                                                      {"~/", "/home/ann"},
                                                      {"~/runs/x", "/home/ann/runs/x"},
                                                      {"~//runs", "/home/ann/runs"},
                                                      {"~bob/runs", "~bob/runs"},
                                                      {"./~/runs", "./~/runs"},
                                                      {"runs/~/x", "runs/~/x"},
                                                      {"/~", "/~"},
                                                      {"", ""}};
  for (const auto& [path, expected] : rows) EXPECT_EQ(expand_home(path, "--data"), expected);
}

TEST(ExpandHome, TakesHomesOfEverySpelling) {
  const std::pair<const char*, const char*> rows[] = {
      {"/", "/runs"}, {"/home/ann/", "/home/ann/runs"}, {"home", "home/runs"}};
  for (const auto& [home, expected] : rows) {
    const Variable variable("HOME", home);
    EXPECT_EQ(expand_home("~/runs", "--data"), expected);
  }
}

TEST(ExpandHome, NeedsHome) {
  for (const char* none : {static_cast<const char*>(nullptr), ""}) {
    const Variable home("HOME", none);
    EXPECT_EQ(
        refusal(ExitCode::kUsage, [] { expand_home("~/runs", "--run-dir"); }),
        "--run-dir: ~/runs; expected a path without ~, since HOME is not set (./~ is a folder "
        "of that name)");
    EXPECT_EQ(expand_home("runs/~", "--run-dir"), "runs/~");
  }
}

TEST(ExpandHome, IsForEveryOptionThatIsAPathAndNoOther) {
  const Variable home("HOME", "/home/ann");
  int paths = 0;
  for (const Option& option : options()) {
    if (!std::holds_alternative<std::string>(get(option, Config{}))) continue;
    if (!option.check.choices.empty()) continue;
    Config config;
    assign(config, {{&option, std::string("~/x"), option.key}});
    const bool is_path = option.flag != "commit" && option.flag != "fault";
    EXPECT_EQ(get(option, config), Value(std::string(is_path ? "/home/ann/x" : "~/x")))
        << option.key;
    paths += is_path;
  }
  EXPECT_EQ(paths, 7);
}

TEST(ExpandHome, IsForEverySource) {
  const Variable home("HOME", "/home/ann");
  const Variable folder("CIFAR10_DIR", "~/cifar10");
  EXPECT_EQ(parsed({}).data.path, "/home/ann/cifar10");
  EXPECT_EQ(parsed({"--run-dir=~/runs/x"}).run.directory, "/home/ann/runs/x");
  EXPECT_EQ(refusal(ExitCode::kUsage, [] { parsed({"--config=~/none.toml"}); }),
            "/home/ann/none.toml: No such file or directory; expected a readable file");
  Config config;
  assign(config, parse_recipe("[data]\npath = '~/c'\n[run]\nresume = '~/r'", "r.toml"));
  EXPECT_EQ(config.data.path, "/home/ann/c");
  EXPECT_EQ(config.run.resume, "/home/ann/r");
  // What a run keeps is the folder itself, wherever it is read again.
  EXPECT_NE(to_toml(config).find("path = \"/home/ann/c\""), std::string::npos);
}

}  // namespace
}  // namespace cifar
