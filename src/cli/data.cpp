#include <CLI/App.hpp>
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <future>
#include <limits>
#include <mutex>
#include <thread>
#include <vector>

#include "cli/commands.h"
#include "gear/core/error.h"
#include "gear/core/log.h"
#include "gear/core/printable.h"
#include "gear/core/progress.h"
#include "gear/core/text.h"
#include "gear/data/data_split.h"
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
  if (summary.skipped > 0) {
    std::printf("%s sequences were left out: the font has no single picture for them\n",
                format_count(summary.skipped).c_str());
  }
}

/// What decoding a set told. `bad` holds one sentence per unreadable picture, in their order.
struct CheckResult {
  int64_t smallest = std::numeric_limits<int64_t>::max();  // side in pixels
  int64_t largest = 0;
  std::vector<std::string> bad;
};

/// Decodes every picture, one thread per core.
CheckResult decode_all(const data::ImageFolder& images, double max_megapixels) {
  CheckResult result;
  std::vector<std::string> reasons(static_cast<size_t>(images.size()));
  std::mutex mutex;  // guards `result` and `progress`
  ProgressLine progress;
  std::atomic<int64_t> next = 0;
  int64_t done = 0;
  const auto decode_some = [&] {
    for (int64_t i = next++; i < images.size(); i = next++) {
      io::Image image;
      try {
        image = io::read_image(images.path(i), {.max_megapixels = max_megapixels});
      } catch (const Error& error) {
        reasons[static_cast<size_t>(i)] = error.what();
      }
      const std::lock_guard lock(mutex);
      if (image.width > 0) {
        result.smallest = std::min({result.smallest, image.width, image.height});
        result.largest = std::max({result.largest, image.width, image.height});
      }
      progress.show("checked " + format_count(++done) + " of " + format_count(images.size()));
    }
  };
  std::vector<std::future<void>> threads;
  for (unsigned i = 0; i < std::max(1U, std::thread::hardware_concurrency()); ++i) {
    threads.push_back(std::async(std::launch::async, decode_some));
  }
  for (auto& thread : threads) thread.get();
  for (std::string& reason : reasons) {
    if (!reason.empty()) result.bad.push_back(std::move(reason));
  }
  return result;
}

/// Prints classes, counts and sizes of one ImageFolder; throws Error when a picture cannot be read.
void check_folder(const std::string& root, double max_megapixels) {
  const data::ImageFolder images(root);
  const CheckResult result = decode_all(images, max_megapixels);

  std::vector<int64_t> counts(images.classes().size(), 0);
  for (int64_t i = 0; i < images.size(); ++i) ++counts[static_cast<size_t>(images.label(i))];
  std::printf("%s: %s pictures in %s classes\n", printable(root).c_str(),
              format_count(images.size()).c_str(),
              format_count(static_cast<int64_t>(counts.size())).c_str());
  for (size_t label = 0; label < counts.size(); ++label) {
    std::printf("%6zu  %-32s %10s\n", label, printable(images.classes()[label]).c_str(),
                format_count(counts[label]).c_str());
  }
  if (result.largest > 0) {
    std::printf("sides from %lld to %lld pixels\n", static_cast<long long>(result.smallest),
                static_cast<long long>(result.largest));
  }
  std::fflush(stdout);  // before what follows on standard error
  if (result.bad.empty()) return;
  for (const std::string& reason : result.bad) log::warn(reason);
  fail(root, ": ", result.bad.size(), " of ", images.size(),
       " pictures cannot be read (named above); repair or remove them. Training skips them while "
       "their share is at most data.max_bad_share");
}

/// The same for a data set as data.path takes it: one folder, or train/ and val/ in one.
void check(const std::string& root, double max_megapixels) {
  const auto split = data::split_folder(root);
  check_folder(split.train.string(), max_megapixels);
  if (!split.held_out.empty()) check_folder(split.held_out.string(), max_megapixels);
}

void add_emoji(CLI::App& data) {
  auto options = std::make_shared<data::EmojiOptions>();
  auto label = std::make_shared<std::string>("group");
  CLI::App* command =
      data.add_subcommand("emoji", "Render the Noto colour emoji as an ImageFolder.");
  command->add_option("--out", options->out, "Folder to make")->required();
  command->add_option("--label", *label, "Classes: group (9) or subgroup (about 100)")
      ->check(CLI::IsMember({"group", "subgroup"}))
      ->capture_default_str();
  command->add_option("--size", options->size, "Side in pixels; 136 is the font's own")
      ->check(CLI::Range(8, 1024))
      ->capture_default_str();
  command->add_flag("--skin-tones", options->skin_tones, "Also the skin tone variants");
  command
      ->add_option("--val-every", options->val_every,
                   "Hold out every n-th picture, n >= 2; 0: none")
      ->capture_default_str();
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
  auto max_megapixels = std::make_shared<double>(io::DecodeOptions{}.max_megapixels);
  CLI::App* command = data.add_subcommand("check", "Read every picture of an ImageFolder.");
  command->add_option("folder", *root, "ImageFolder")->required();
  command->add_option("--max-megapixels", *max_megapixels, "Larger ones count as unreadable")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->footer(
      "Exit codes: 0 every picture can be read, 2 some cannot (named).\n"
      "Example: gear data check data/emoji/train");
  command->callback([root, max_megapixels] { check(*root, *max_megapixels); });
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
