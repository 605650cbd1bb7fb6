#include "gear/data/emoji.h"

#include <algorithm>
#include <atomic>
#include <fstream>
#include <future>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "emoji_font.h"
#include "emoji_list.h"
#include "gear/core/error.h"
#include "gear/data/resize.h"
#include "gear/io/atomic.h"
#include "gear/io/hash.h"

namespace gear::data {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

/// What decides about the pictures; equal parameters give equal folders.
ordered_json parameters_of(const EmojiOptions& options) {
  return {{"label", options.label == EmojiLabel::kGroup ? "group" : "subgroup"},
          {"size", options.size},
          {"skin_tones", options.skin_tones},
          {"val_every", options.val_every},
          {"font_sha256", io::sha256_of_file(options.font)},
          {"list_sha256", io::sha256_of_file(options.list)}};
}

/// The summary of a folder that these parameters made; nothing when there is no folder yet.
std::optional<EmojiSummary> existing_set(const fs::path& out, const ordered_json& parameters) {
  std::error_code ignored;
  if (!fs::exists(out, ignored) || (fs::is_directory(out, ignored) && fs::is_empty(out, ignored))) {
    return std::nullopt;
  }
  std::ifstream stream(out / "manifest.json");
  const auto manifest = ordered_json::parse(stream, nullptr, /*allow_exceptions=*/false);
  if (!manifest.is_object() || !manifest.contains("parameters")) {
    fail(out.string(), ": exists already and is no set of emoji; name another folder or remove it");
  }
  for (const auto& [name, value] : parameters.items()) {
    const auto& found = manifest["parameters"];
    if (found.contains(name) && found[name] == value) continue;
    fail(out.string(), ": holds a set of emoji made with another ", name, " (",
         found.contains(name) ? found[name].dump() : "none", ", now ", value.dump(),
         "); name another folder or remove it");
  }
  return EmojiSummary{.train_images = manifest.value("train_images", int64_t{0}),
                      .val_images = manifest.value("val_images", int64_t{0}),
                      .classes = manifest.value("classes", int64_t{0}),
                      .skipped = manifest.value("skipped", int64_t{0})};
}

/// The PNG bytes of each emoji, in order; empty for one that the font does not draw.
std::vector<std::string> draw_all(const std::vector<Emoji>& list, const EmojiOptions& options) {
  constexpr unsigned kMostThreads = 8;
  std::vector<std::string> files(list.size());
  std::atomic<size_t> next = 0;
  const auto draw_some = [&] {
    EmojiFont font(options.font);
    for (size_t i = next++; i < list.size(); i = next++) {
      auto picture = font.draw(list[i].code_points);
      if (!picture) continue;
      files[i] = io::encode_png(resize(*picture, options.size, options.size, Filter::kBicubic));
    }
  };
  std::vector<std::future<void>> threads;
  const unsigned count = std::clamp(std::thread::hardware_concurrency(), 1U, kMostThreads);
  for (unsigned i = 0; i < count; ++i) {
    threads.push_back(std::async(std::launch::async, draw_some));
  }
  for (auto& thread : threads) thread.get();
  return files;
}

std::string label_of(const Emoji& emoji, EmojiLabel label) {
  return slug(label == EmojiLabel::kGroup ? emoji.group : emoji.subgroup);
}

void write_text(const fs::path& path, const std::string& text) {
  io::FileWriter writer(path);
  writer.write(text);
  writer.close();
}

/// Writes pictures and captions below `folder`, and counts them.
EmojiSummary write_set(const fs::path& folder, const std::vector<Emoji>& list,
                       const std::vector<std::string>& files, const EmojiOptions& options) {
  std::set<std::string> distinct;
  for (const Emoji& emoji : list) distinct.insert(label_of(emoji, options.label));
  const std::vector<std::string> classes(distinct.begin(), distinct.end());  // sorted
  // Both halves get every class folder, so that a label means the same in both.
  for (const std::string& name : classes) {
    fs::create_directories(folder / "train" / name);
    if (options.val_every > 0) fs::create_directories(folder / "val" / name);
  }
  EmojiSummary summary{.classes = static_cast<int64_t>(classes.size())};
  std::string captions;
  for (size_t i = 0; i < list.size(); ++i) {
    if (files[i].empty()) {
      ++summary.skipped;
      continue;
    }
    const int64_t count = summary.train_images + summary.val_images + 1;
    const bool held_out = options.val_every > 0 && count % options.val_every == 0;
    ++(held_out ? summary.val_images : summary.train_images);
    const std::string name = label_of(list[i], options.label);
    const std::string index = std::to_string(i);
    const std::string padding(index.size() < 4 ? 4 - index.size() : 0, '0');
    const std::string file = std::string(held_out ? "val/" : "train/") + name + "/" + padding +
                             index + "_" + code_points_text(list[i]) + ".png";
    write_text(folder / file, files[i]);
    const auto label = std::find(classes.begin(), classes.end(), name) - classes.begin();
    captions += ordered_json{{"file", file},
                             {"caption", list[i].name},
                             {"group", list[i].group},
                             {"subgroup", list[i].subgroup},
                             {"label", label}}
                    .dump() +
                "\n";
  }
  write_text(folder / "captions.jsonl", captions);
  write_text(folder / "classes.json", ordered_json(classes).dump(1) + "\n");
  return summary;
}

}  // namespace

EmojiSummary render_emoji(const EmojiOptions& options) {
  if (options.size < 8) fail("size: must be at least 8 pixels, got ", options.size);
  if (options.val_every < 0 || options.val_every == 1) {
    fail(
        "val_every: must be 0 (nothing held out) or at least 2 (1 leaves nothing to train on), got ",
        options.val_every);
  }
  if (!fs::exists(options.font)) {
    fail(options.font.string(),
         ": the font is not there; install the Debian package fonts-noto-color-emoji");
  }
  const std::vector<Emoji> list = read_emoji_list(options.list, options.skin_tones);
  const ordered_json parameters = parameters_of(options);
  if (const auto existing = existing_set(options.out, parameters)) return *existing;

  const std::vector<std::string> files = draw_all(list, options);
  io::AtomicDirectory directory(options.out);
  const EmojiSummary summary = write_set(directory.path(), list, files, options);
  const ordered_json manifest = {{"parameters", parameters},
                                 {"train_images", summary.train_images},
                                 {"val_images", summary.val_images},
                                 {"classes", summary.classes},
                                 {"skipped", summary.skipped}};
  write_text(directory.path() / "manifest.json", manifest.dump(1) + "\n");
  directory.commit();
  return summary;
}

}  // namespace gear::data
