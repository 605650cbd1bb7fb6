#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "gear/config/config.h"
#include "gear/data/resize.h"
#include "gear/io/image.h"

namespace gear::config {

template <>
struct EnumNames<data::Filter> {
  static constexpr std::array<const char*, 4> value = {"box", "bilinear", "bicubic", "lanczos"};
};
template <>
struct EnumNames<io::SixteenBit> {
  static constexpr std::array<const char*, 2> value = {"clip", "scale"};
};
template <>
struct EnumNames<io::Alpha> {
  static constexpr std::array<const char*, 2> value = {"drop", "white"};
};
template <>
struct EnumNames<io::Exif> {
  static constexpr std::array<const char*, 2> value = {"ignore", "apply"};
};

}  // namespace gear::config

namespace gear::data {

/// Where the pictures, or their tokens, come from and how pictures are cut. Spec 05.
struct DataConfig {
  std::string path;
  std::string indices;
  std::string val_path;
  int64_t image_size = 256;
  int64_t batch_size = 256;
  int64_t workers = 1;
  int64_t prefetch = 4;
  bool random_crop = true;
  bool random_flip = true;
  int64_t num_classes = 0;
  double max_bad_share = 0.01;
  double max_megapixels = 50.0;
  int64_t cache_mb = 512;
  Filter val_filter = Filter::kBicubic;
  io::SixteenBit sixteen_bit = io::SixteenBit::kClip;
  io::Alpha alpha = io::Alpha::kDrop;
  io::Exif exif = io::Exif::kIgnore;

  template <class Visitor>
  void fields(Visitor& v) {
    v("path", path,
      "ImageFolder with one folder per class (JPEG, PNG, WebP, BMP, PPM, TIFF); not needed with "
      "indices.");
    v("indices", indices,
      "File or folder written by gear encode: recipe ar learns these tokens and reads no pictures. "
      "Empty: the tokenizer encodes the pictures of path in every step.");
    v("val_path", val_path, "Held-out ImageFolder for reconstruction metrics; empty: none.");
    v("image_size", image_size, "Side S of the square training crop in pixels.",
      config::in_range(8, 8192));
    v("batch_size", batch_size, "Images per optimizer step, over all ranks and micro-batches.",
      config::in_range(1, 1e6));
    v("workers", workers, "Threads that decode images beside the training step.",
      config::in_range(1, 1024));
    v("prefetch", prefetch, "Batches kept ready at most.", config::in_range(1, 1024));
    v("random_crop", random_crop, "Random crop after the short-side resize; false: centre crop.");
    v("random_flip", random_flip, "Mirror half of the images left to right.");
    v("num_classes", num_classes, "Number of classes; 0 takes the number of class folders.",
      config::in_range(0, 1e6));
    v("max_bad_share", max_bad_share,
      "Unreadable images are skipped and named; above this share of the set the run stops.",
      config::in_range(0, 1));
    v("max_megapixels", max_megapixels, "Larger images are skipped and named.",
      config::greater_than(0));
    v("cache_mb", cache_mb,
      "Memory a process may use, in MiB, to keep decoded and scaled images; a set that cannot fit "
      "is not kept at all.",
      config::in_range(0, 1e7));
    v("val_filter", val_filter, "Filter that scales held-out images; training uses bicubic.");
    v("sixteen_bit", sixteen_bit,
      "16-bit grey images: clip to 255, as the Python reference does, or scale to 8 bits.");
    v("alpha", alpha, "Transparent images: drop the transparency, or blend over white.");
    v("exif", exif, "Orientation noted in a JPEG: ignore or apply.");
  }
  void check(const config::Where& at) const {
    if (path.empty() && indices.empty()) fail(at("path"), "must not be empty, got \"\"");
  }
};

/// How the files of the set are decoded, wherever that happens.
inline io::DecodeOptions decode_options(const DataConfig& config) {
  return {.max_megapixels = config.max_megapixels,
          .sixteen_bit = config.sixteen_bit,
          .alpha = config.alpha,
          .exif = config.exif};
}

}  // namespace gear::data
