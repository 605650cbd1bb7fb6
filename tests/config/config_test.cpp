#include "gear/config/config.h"

#include <gtest/gtest.h>

#include <array>

#include "io/temporary_folder.h"

namespace gear {

enum class Colour { kRed, kBlue };

}  // namespace gear

template <>
struct gear::config::EnumNames<gear::Colour> {
  static constexpr std::array<const char*, 2> value = {"red", "blue"};
};

namespace gear {
namespace {

struct InnerConfig {
  int64_t dim = 768;
  int64_t heads = 12;
  double dropout = 0.1;
  std::vector<int64_t> widths = {1, 2};

  template <class Visitor>
  void fields(Visitor& v) {
    v("dim", dim, "Model width.", config::at_least(1));
    v("heads", heads, "Attention heads; divides dim.", config::at_least(1));
    v("dropout", dropout, "Drop probability.", config::in_range(0, 0.9));
    v("widths", widths, "Widths.", config::at_least(1));
  }
  void check(const config::Where& at) const {
    if (dim % heads != 0) fail(at("heads"), "must divide dim (", dim, "), got ", heads);
  }
};

struct OuterConfig {
  std::string name = "a b";
  bool fast = false;
  Colour colour = Colour::kRed;
  InnerConfig ar;

  template <class Visitor>
  void fields(Visitor& v) {
    v("name", name, "Name.", config::not_empty());
    v("fast", fast, "Speed.");
    v("colour", colour, "Colour.");
    v("ar", ar, "Transformer.");
  }
};

struct RequiredConfig {
  std::string path;

  template <class Visitor>
  void fields(Visitor& v) {
    v("path", path, "Folder.", config::not_empty());
  }
};

struct DeepConfig {
  RequiredConfig data;

  template <class Visitor>
  void fields(Visitor& v) {
    v("data", data, "Data.");
  }
};

/// `text` with every `from` replaced.
std::string replaced(std::string text, const std::string& from, const std::string& to) {
  for (size_t at; (at = text.find(from)) != std::string::npos;) text.replace(at, from.size(), to);
  return text;
}

/// A file under the test's temporary folder. In messages it is called FILE, and its folder DIR.
class ConfigTest : public ::testing::Test {
 protected:
  std::string write(const std::string& name, const std::string& text) {
    io::write_bytes(folder_ / name, text);
    return folder_ / name;
  }
  template <class Config = OuterConfig>
  std::string error_of(const std::string& text, const std::vector<std::string>& overrides = {}) {
    const std::string path = write("config_test.yaml", text);
    try {
      config::load<Config>(path, overrides);
    } catch (const Error& error) {
      return replaced(replaced(error.what(), path, "FILE"), folder_ / "", "DIR/");
    }
    return "no error";
  }

 private:
  io::TemporaryFolder folder_;
};

TEST_F(ConfigTest, UnknownKeyNamesFileLineAndNearestName) {
  EXPECT_EQ(error_of("name: x\nar:\n  dropuot: 0.2\n"),
            "FILE:3: ar.dropuot: unknown key; did you mean dropout?");
  EXPECT_EQ(error_of("zzzzzzzz: 1\n"),
            "FILE:1: zzzzzzzz: unknown key; known here: name, fast, colour, ar");
}

TEST_F(ConfigTest, UnknownKeyIsToldBeforeTheKeyThatIsMissingForIt) {
  EXPECT_EQ(error_of<DeepConfig>("data: {pth: x}\n"),
            "FILE:1: data.pth: unknown key; did you mean path?");
  EXPECT_EQ(error_of<DeepConfig>("data:\n"), "data.path (default): must not be empty, got \"\"");
}

TEST_F(ConfigTest, IllTypedValuesSayWhatWasExpected) {
  EXPECT_EQ(error_of("ar:\n  dim: twelve\n"), "FILE:2: ar.dim: expected an integer, got twelve");
  EXPECT_EQ(error_of("ar:\n  dim: 1.5\n"), "FILE:2: ar.dim: expected an integer, got 1.5");
  EXPECT_EQ(error_of("", {"ar.dim="}), "--set ar.dim: expected an integer, got nothing");
  EXPECT_EQ(error_of("fast: maybe\n"), "FILE:1: fast: expected true or false, got maybe");
  EXPECT_EQ(error_of("ar: 3\n"), "FILE:1: ar: expected keys below it, got 3");
  EXPECT_EQ(error_of("ar:\n  widths: 3\n"),
            "FILE:2: ar.widths: expected a list such as [1, 2], got 3");
  EXPECT_EQ(error_of("colour: bleu\n"),
            "FILE:1: colour: must be one of red, blue, got bleu; did you mean blue?");
}

TEST_F(ConfigTest, NumbersOutOfRangeSayTheRange) {
  EXPECT_EQ(error_of("ar:\n  dropout: 2\n"), "FILE:2: ar.dropout: must be from 0 to 0.9, got 2");
  EXPECT_EQ(error_of("ar:\n  widths: [2, 0]\n"), "FILE:2: ar.widths: must be at least 1, got 0");
  EXPECT_EQ(error_of("name: \"\"\n"), "FILE:1: name: must not be empty, got \"\"");
}

TEST_F(ConfigTest, RulesBetweenFieldsNameTheKey) {
  EXPECT_EQ(error_of("ar:\n  heads: 10\n"), "FILE:2: ar.heads: must divide dim (768), got 10");
  EXPECT_EQ(error_of("", {"ar.heads=10"}), "--set ar.heads: must divide dim (768), got 10");
  EXPECT_EQ(error_of("ar:\n  dim: 100\n"), "ar.heads (default): must divide dim (100), got 12");
}

TEST_F(ConfigTest, BadFilesAreNamed) {
  EXPECT_EQ(error_of("name: [1\n").substr(0, 24), "FILE:2: not valid YAML: ");
  EXPECT_EQ(error_of("name: a\nname: b\n"), "FILE:2: name: this key is given twice");
  EXPECT_EQ(error_of("", {"ar.dim"}),
            "--set ar.dim: expected key=value, for example --set ar.depth=12");
}

TEST_F(ConfigTest, ExtendsNamesWhatIsMissingLoopsOrIsNoPath) {
  EXPECT_EQ(error_of("extends: none.yaml\n"),
            "FILE:1: extends: DIR/none.yaml: no such configuration file");
  EXPECT_EQ(error_of("extends: config_test.yaml\n"),
            "FILE:1: extends: FILE: extends itself (through the files it extends)");
  EXPECT_EQ(error_of("extends: {a: b}\n"),
            "FILE:1: extends: expected the path of a file or a list of paths, got keys below it");
  EXPECT_EQ(
      error_of("name: x\nextends: [[a]]\n"),
      "FILE:2: extends: expected the path of a file or a list of paths, got a list with a list "
      "in it");
  EXPECT_EQ(error_of("extends:\n"),
            "FILE:1: extends: expected the path of a file or a list of paths, got nothing");
}

TEST_F(ConfigTest, AnAliasInsideItsOwnAnchorIsRefused) {
  EXPECT_EQ(error_of("name: x\nar: &a [*a, *a]\n"),
            "FILE:2: nests more than 32 levels deep; does an alias (*name) stand inside its own "
            "anchor (&name)?");
}

TEST_F(ConfigTest, AliasesThatMultiplyAreRefused) {
  std::string text = "a: &a [x, x, x, x, x, x, x, x, x, x]\n";
  for (char name = 'b'; name < 'k'; ++name) {
    const std::string before = std::string(" *") + static_cast<char>(name - 1) + ",";
    text += std::string(1, name) + ": &" + name + " [";
    for (int i = 0; i < 10; ++i) text += before;
    text.back() = ']';
    text += "\n";
  }
  EXPECT_NE(error_of(text).find("stands for more than 100000 values"), std::string::npos);
}

TEST_F(ConfigTest, ASectionWithoutKeysKeepsWhatTheBaseHas) {
  write("base.yaml", "ar:\n  dim: 64\n  heads: 4\n");
  const auto path = write("top.yaml", "extends: base.yaml\nar:\n  # heads: 8\n");
  EXPECT_EQ(config::load<OuterConfig>(path).ar.heads, 4);
}

TEST_F(ConfigTest, LaterFilesAndOverridesWin) {
  write("base.yaml", "name: base\nar:\n  dim: 64\n  heads: 4\n");
  const auto path = write("top.yaml", "extends: base.yaml\nar:\n  heads: 8\n");
  const auto config = config::load<OuterConfig>(path, {"ar.widths=[3, 4]"});
  EXPECT_EQ(config.name, "base");
  EXPECT_EQ(config.ar.dim, 64);
  EXPECT_EQ(config.ar.heads, 8);
  EXPECT_EQ(config.ar.widths, (std::vector<int64_t>{3, 4}));
}

TEST_F(ConfigTest, PiecesThatShareABaseKeepTheirKeysWhenListedTogether) {
  write("base.yaml", "name: base\nar:\n  dim: 64\n  heads: 4\n");
  write("small.yaml", "extends: base.yaml\nar:\n  dim: 32\n");
  write("named.yaml", "extends: base.yaml\nname: named\n");
  const auto path = write("top.yaml", "extends: [small.yaml, named.yaml]\n");
  const auto config = config::load<OuterConfig>(path);
  EXPECT_EQ(config.ar.dim, 32) << "the base, reached again through named.yaml, must not undo it";
  EXPECT_EQ(config.ar.heads, 4);
  EXPECT_EQ(config.name, "named");
}

TEST_F(ConfigTest, DumpLoadsBackToTheSameText) {
  OuterConfig config;
  config.name = "quote \" and: colon";
  config.ar.dropout = 0.30000000000000004;
  config.colour = Colour::kBlue;
  const std::string text = config::dump(config);
  EXPECT_NE(text.find("  # Model width. [>= 1]\n  dim: 768\n"), std::string::npos);
  const auto path = write("dumped.yaml", text);
  EXPECT_EQ(config::dump(config::load<OuterConfig>(path)), text);
}

TEST_F(ConfigTest, TextsThatYamlReadsInAnotherWayAreSavedInQuotes) {
  for (const std::string name : {"null", "NULL", "a\rb\tc\n", "\x01\x7f", "- a", "\xc3\xa9"}) {
    OuterConfig config;
    config.name = name;
    const auto path = write("dumped.yaml", config::dump(config));
    EXPECT_EQ(config::load<OuterConfig>(path).name, name);
  }
}

}  // namespace
}  // namespace gear
