#include "gear/core/printable.h"

#include <gtest/gtest.h>

#include "gear/core/log.h"

namespace gear {
namespace {

TEST(Printable, ControlCharactersAreEscaped) {
  EXPECT_EQ(printable("a\x1b[2Jb\x7f\a"), "a\\u001b[2Jb\\u007f\\u0007");
  EXPECT_EQ(printable("a\nb\r\tc"), "a\\nb\\r\\tc");
  EXPECT_EQ(printable(std::string_view("a\0b", 3)), "a\\u0000b");
  EXPECT_EQ(printable("\xc2\x9b"  // the control sequence introducer in one character
                      "31m"),
            "\\u009b31m");
  EXPECT_EQ(printable("\xe2\x80\xae"  // right-to-left override
                      "gnp.exe"),
            "\\u202egnp.exe");
}

TEST(Printable, TextOfAnyLanguageIsKept) {
  for (const std::string text : {"", "plain \\x text", "gr\xc3\xbc\xc3\x9f", "\xe7\x8c\xab",
                                 "\xf0\x9f\x98\x80", "\xc2\xa0"}) {
    EXPECT_EQ(printable(text), text);
  }
}

TEST(Printable, BytesThatAreNoUtf8AreEscaped) {
  EXPECT_EQ(printable("\x9b"
                      "31m"),
            "\\x9b31m");
  EXPECT_EQ(printable("a\xc3"), "a\\xc3");                           // cut
  EXPECT_EQ(printable("\xc1\x9b"), "\\xc1\\x9b");                    // spelled longer than needed
  EXPECT_EQ(printable("\xe0\x82\x9b"), "\\xe0\\x82\\x9b");           // the same
  EXPECT_EQ(printable("\xed\xa0\x80"), "\\xed\\xa0\\x80");           // half of a pair
  EXPECT_EQ(printable("\xf5\x80\x80\x80"), "\\xf5\\x80\\x80\\x80");  // beyond Unicode
}

TEST(Printable, LinesAreKeptWhereTheyAreOurs) {
  EXPECT_EQ(printable_lines("a\nb\x1b\n"), "a\nb\\u001b\n");
}

TEST(Log, MessagesAreOneLineWithoutControlCharacters) {
  ::testing::internal::CaptureStderr();
  log::warn("x.pt: a\x1b[2J\nerror: all is lost");
  EXPECT_EQ(::testing::internal::GetCapturedStderr(),
            "warning: x.pt: a\\u001b[2J\\nerror: all is lost\n");
}

}  // namespace
}  // namespace gear
