// What came from outside is shown on one line, whole, and moves nothing on a terminal.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "base/error.h"
#include "base/log.h"
#include "base/printable.h"

namespace cifar {
namespace {

TEST(Printable, LeavesTextAsItIs) {
  for (const char* text : {"", "runs/a b.png", "C:\\x", "M\u00fcller \u65e5\u672c \U0001F431",
                           "\u00a0", "\u2027", "\u2030"}) {
    EXPECT_EQ(printable(text), text);
  }
}

TEST(Printable, WritesControlsOut) {
  EXPECT_EQ(printable("a\nb\r\tc"), "a\\nb\\r\\tc");
  EXPECT_EQ(printable("\x1b[31mred\x07\x7f"), "\\u001B[31mred\\u0007\\u007F");
  EXPECT_EQ(printable(std::string_view("a\0b", 3)), "a\\u0000b");
  EXPECT_EQ(printable("\u0085\u009b31m"), "\\u0085\\u009B31m");  // the second set of controls
  EXPECT_EQ(printable("\u2028\u202egpj.tac\u2066"), "\\u2028\\u202Egpj.tac\\u2066");
}

TEST(Printable, WritesOutBytesThatAreNoUtf8) {
  // A byte that begins nothing or goes on with nothing, the character cut off, too long a form, a
  // surrogate, and a number that is none of Unicode's.
  EXPECT_EQ(printable("\x9b"
                      "31m"),
            "\\x9B31m");
  EXPECT_EQ(printable("a\xc3"), "a\\xC3");
  EXPECT_EQ(printable("\xe2\x80 "), "\\xE2\\x80 ");
  EXPECT_EQ(printable("\xc0\x8a"), "\\xC0\\x8A");
  EXPECT_EQ(printable("\xe0\x82\x9b"), "\\xE0\\x82\\x9B");
  EXPECT_EQ(printable("\xed\xa0\x80"), "\\xED\\xA0\\x80");
  EXPECT_EQ(printable("\xf4\x90\x80\x80"), "\\xF4\\x90\\x80\\x80");
}

TEST(IsUtf8, TellsTextFromOtherBytes) {
  for (const char* text : {"", "a\n", "\u009b", "\u65e5 \U0001F431"}) EXPECT_TRUE(is_utf8(text));
  for (const char* text : {"\xff", "a\xc3", "\xc0\x8a", "\xed\xa0\x80"}) {
    EXPECT_FALSE(is_utf8(text));
  }
}

TEST(Printable, ChangesNothingTwice) {
  const std::string once = printable("a\n\x1b\xff");
  EXPECT_EQ(printable(once), once);
}

TEST(Printable, LeavesJsonSayingTheSame) {
  const nlohmann::json json = {{"file", "a\nb\x1b\x7f\u009b\u202e"}};
  EXPECT_EQ(nlohmann::json::parse(printable(json.dump())), json);
}

TEST(Printable, IsEveryLineOfTheProgram) {
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  const Log log(0);
  log.line("a\nb\x1b");
  log.lines("1\n2\x1b");
  log.warning("c\nd\x1b");
  const Error error(ExitCode::kUsage, "e\nf", "\x1b", std::string("g\0h", 3));
  print_error(error.what(), "x.cpp:1");
  print_error("of another\nlibrary", "x.cpp:1");
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "a\\nb\\u001B\n1\n2\\u001B\n");
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "cifar-ddp: warning: c\\nd\\u001B\n"
            "cifar-ddp: error: e\\nf: \\u001B; expected g\\u0000h [x.cpp:1]\n"
            "cifar-ddp: error: of another [x.cpp:1]\n");
}

}  // namespace
}  // namespace cifar
