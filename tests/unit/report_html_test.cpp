#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "report/html.h"

namespace cifar {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(Html, EscapesWhatWouldBeMarkup) {
  EXPECT_EQ(escape("<a href=\"x\">&amp;"), "&lt;a href=&quot;x&quot;&gt;&amp;amp;");
}

// RFC 4648, section 10.
TEST(Html, DataUriIsBase64) {
  const auto base64 = [](const std::string& bytes) {
    return data_uri(bytes).substr(std::string("data:image/png;base64,").size());
  };
  EXPECT_EQ(base64(""), "");
  EXPECT_EQ(base64("f"), "Zg==");
  EXPECT_EQ(base64("fo"), "Zm8=");
  EXPECT_EQ(base64("foo"), "Zm9v");
  EXPECT_EQ(base64("foob"), "Zm9vYg==");
  EXPECT_EQ(base64("fooba"), "Zm9vYmE=");
  EXPECT_EQ(base64("foobar"), "Zm9vYmFy");
  EXPECT_EQ(base64("\xff\xfe"), "//4=");
}

TEST(Html, SpreadsAreToldWithTheirNumber) {
  EXPECT_EQ(spread_text({3, 0.7125, 0.0042}), "71.2 ± 0.4 %");
  EXPECT_EQ(spread_text({1, 0.7, 0}), "70.0 %");
  EXPECT_EQ(spread_text({}), "–");
}

TEST(Html, DurationsHaveTwoUnits) {
  EXPECT_EQ(duration(4.25), "4.2 s");
  EXPECT_EQ(duration(185), "3 min 05 s");
  EXPECT_EQ(duration(3720), "1 h 02 min");
}

TEST(Html, APageFetchesNothing) {
  const std::string page = html_page("a <b>", "<p>body</p>");
  EXPECT_THAT(page, HasSubstr("<title>a &lt;b&gt;</title>"));
  EXPECT_THAT(page, HasSubstr("<p>body</p>"));
  EXPECT_THAT(page, Not(HasSubstr("http")));
  EXPECT_THAT(page, Not(HasSubstr("<script")));
}

}  // namespace
}  // namespace cifar
