#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>

#include "gear/data/data_config.h"
#include "gear/data/image_folder.h"
#include "gear/models/tokenizers/tokenizer.h"

namespace gear::train {

struct EncodeOptions {
  std::filesystem::path out;  ///< a file NAME.safetensors, or a folder for files of `file_size`
  data::DataConfig data{};    ///< image_size, workers and how pictures are decoded
  int64_t file_size = 65536;  ///< pictures per file
  int64_t batch = 32;
  bool mirrored = false;  ///< also the mirrored pictures
  std::function<void(int64_t done, int64_t total)> progress{};
};

struct EncodeSummary {
  int64_t pictures = 0;    ///< of the whole set, without the unreadable ones
  int64_t unreadable = 0;  ///< met by this call and left out, each named in a warning
  int64_t files = 0;
  int64_t kept = 0;  ///< of the files, those that an earlier call had written
};

/// Encodes every picture of `images` to indices, as training on pictures without random crops sees
/// it: short side scaled (bicubic), centre crop, float32. `tokenizer` is in eval mode.
///
/// Memory holds one file's indices and a few batches. A file is whole or absent, and a call that
/// was stopped goes on with the first missing file when it is repeated. Throws Error when `out`
/// holds files of something else, which are left as they are.
EncodeSummary encode_set(models::Tokenizer& tokenizer,
                         std::shared_ptr<const data::ImageFolder> images,
                         const EncodeOptions& options);

}  // namespace gear::train
