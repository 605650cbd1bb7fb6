#pragma once

#include <cstdint>
#include <filesystem>

namespace gear::data {

enum class EmojiLabel { kGroup, kSubgroup };  ///< about 9 classes, or about 100

/// How to draw the emoji of Unicode as a small, real, labelled set of pictures.
struct EmojiOptions {
  std::filesystem::path out;
  EmojiLabel label = EmojiLabel::kGroup;
  int64_t size = 136;       ///< side in pixels; 136 is the font's own size
  bool skin_tones = false;  ///< also the variants of each person and hand
  int64_t val_every = 10;   ///< every n-th picture is held out, n >= 2; 0: none
  std::filesystem::path font = "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf";
  std::filesystem::path list = "/usr/share/unicode/emoji/emoji-test.txt";
};

struct EmojiSummary {
  int64_t train_images = 0;
  int64_t val_images = 0;
  int64_t classes = 0;
  int64_t skipped = 0;  ///< sequences that the font has no single picture for
};

/// Writes `out`/train and `out`/val, each an ImageFolder of <class>/<index>_<code points>.png, and
/// captions.jsonl, classes.json and manifest.json. The folder appears whole or not at all. One that
/// the same options made before is left alone; any other existing folder is an Error.
EmojiSummary render_emoji(const EmojiOptions& options);

}  // namespace gear::data
