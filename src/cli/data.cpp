#include <CLI/App.hpp>
#include <algorithm>
#include <cstdio>
#include <limits>

#include "cli/commands.h"
#include "gear/core/log.h"
#include "gear/core/progress.h"
#include "gear/core/text.h"
#include "gear/data/emoji.h"
#include "gear/data/image_folder.h"
#include "gear/io/image.h"

namespace gear::cli {
namespace {

void render(const data::EmojiOptions& options) {
  const auto summary = data::render_emoji(options);
  std::printf("%s: %s pictures to train on, %s held out, %s classes\n", options.out.c_str(),
              format_count(summary.train_images).c_str(), format_count(summary.val_images).c_str(),
              format_count(summary.classes).c_str());
}

/// Decodes every picture, prints what is there, and fails when one cannot be read.
void check(const std::string& root) {
  const data::ImageFolder images(root);
  std::vector<int64_t> counts(images.classes().size(), 0);
  int64_t smallest = std::numeric_limits<int64_t>::max();
  int64_t largest = 0;
  int64_t bad = 0;
  ProgressLine progress;
  for (int64_t i = 0; i < images.size(); ++i) {
    ++counts[static_cast<size_t>(images.label(i))];
    try {
      const auto image = io::read_image(images.path(i));
      smallest = std::min({smallest, image.width, image.height});
      largest = std::max({largest, image.width, image.height});
    } catch (const Error& error) {
      log::warn(error.what());
      ++bad;
    }
    progress.show("checked " + format_count(i + 1) + " of " + format_count(images.size()));
  }
  progress.finish("checked " + format_count(images.size()) + " pictures");
  for (size_t label = 0; label < counts.size(); ++label) {
    std::printf("%6zu  %-32s %s\n", label, images.classes()[label].c_str(),
                format_count(counts[label]).c_str());
  }
  if (largest > 0) {
    std::printf("sides from %lld to %lld pixels\n", static_cast<long long>(smallest),
                static_cast<long long>(largest));
  }
  if (bad > 0) {
    fail(root, ": ", bad, " of ", images.size(), " pictures cannot be read (named above); training "
         "skips them while their share stays below data.max_bad_share");
  }
}

void add_emoji(CLI::App& data) {
  auto options = std::make_shared<data::EmojiOptions>();
  auto label = std::make_shared<std::string>("group");
  CLI::App* command = data.add_subcommand("emoji", "Render the Noto colour emoji as an ImageFolder.");
  command->add_option("--out", options->out, "Folder to make")->required();
  command->add_option("--label", *label, "Classes: group (9) or subgroup (about 100)")
      ->check(CLI::IsMember({"group", "subgroup"}))->capture_default_str();
  command->add_option("--size", options->size, "Side in pixels; 136 is the font's own")
      ->check(CLI::Range(8, 1024))->capture_default_str();
  command->add_flag("--skin-tones", options->skin_tones, "Also the skin tone variants");
  command->add_option("--val-every", options->val_every, "Hold out every n-th picture; 0: none")
      ->check(CLI::NonNegativeNumber)->capture_default_str();
  command->add_option("--font", options->font, "Font file")->capture_default_str();
  command->add_option("--list", options->list, "Unicode's emoji-test.txt")->capture_default_str();
  command->footer("Example: gear data emoji --out data/emoji");
  command->callback([options, label] {
    options->label = *label == "group" ? data::EmojiLabel::kGroup : data::EmojiLabel::kSubgroup;
    render(*options);
  });
}

void add_check(CLI::App& data) {
  auto root = std::make_shared<std::string>();
  CLI::App* command = data.add_subcommand("check", "Read every picture of an ImageFolder.");
  command->add_option("folder", *root, "ImageFolder")->required();
  command->footer("Example: gear data check data/emoji/train");
  command->callback([root] { check(*root); });
}

}  // namespace

void add_data_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand("data", "Make and check data sets.");
  command->require_subcommand(1);
  command->footer("Example: gear data emoji --out data/emoji");
  add_emoji(*command);
  add_check(*command);
}

}  // namespace gear::cli
