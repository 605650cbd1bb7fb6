#include "sample_reader.h"

#include <utility>

#include "gear/core/error.h"
#include "gear/core/log.h"

namespace gear::data {

ImageCache::ImageCache(int64_t num_images, int64_t side, int64_t budget_bytes)
    : square_bytes_(side * side * 3),
      budget_bytes_(num_images * square_bytes_ <= budget_bytes ? budget_bytes : 0) {
  if (budget_bytes_ > 0) entries_.resize(static_cast<size_t>(num_images));
}

bool ImageCache::fits(ImageSize size) const {
  constexpr int64_t kMostSquares = 16;
  const int64_t bytes = size.height * size.width * 3;
  if (bytes > kMostSquares * square_bytes_) return false;
  const std::lock_guard lock(mutex_);
  return used_bytes_ + bytes <= budget_bytes_;
}

ImageCache::Entry ImageCache::find(int64_t sample) const {
  if (budget_bytes_ == 0) return nullptr;
  const std::lock_guard lock(mutex_);
  return entries_[static_cast<size_t>(sample)];
}

void ImageCache::insert(int64_t sample, const Entry& image) {
  const std::lock_guard lock(mutex_);
  const auto bytes = static_cast<int64_t>(image->pixels.size());
  Entry& entry = entries_[static_cast<size_t>(sample)];
  if (entry != nullptr || used_bytes_ + bytes > budget_bytes_) return;
  used_bytes_ += bytes;
  entry = image;
}

SampleReader::SampleReader(std::shared_ptr<const ImageFolder> source, const DataConfig& config,
                           Filter filter)
    : source_(std::move(source)),
      options_(decode_options(config)),
      side_(config.image_size),
      filter_(filter),
      cache_(source_->size(), config.image_size, config.cache_mb << 20),
      bad_images_(source_->size(), config.max_bad_share) {}

bool SampleReader::read(int64_t sample, const Cut& cut, uint8_t* out) {
  if (bad_images_.contains(sample)) {
    bad_images_.check();  // or a set that is bad throughout would be searched for ever
    return false;
  }
  if (const ImageCache::Entry scaled = cache_.find(sample)) {
    copy_planar(*scaled, cut.window({scaled->height, scaled->width}), cut.mirrored, out);
    return true;
  }
  const std::string file = source_->path(sample).string();
  try {
    io::with_memory_for(file, [&] { decode_and_cut(sample, cut, out); });
  } catch (const Error& error) {
    bad_images_.add(sample, file, error.what());
    return false;
  }
  bad_images_.clear_suspicion(sample);
  return true;
}

void SampleReader::decode_and_cut(int64_t sample, const Cut& cut, uint8_t* out) {
  const io::Image image = decode(sample, cut);
  const ImageSize size = short_side_size({image.height, image.width}, side_);
  if (!cache_.fits(size)) return scaled_crop(image, side_, filter_, cut, out);
  const auto scaled =
      std::make_shared<const io::Image>(resize(image, size.height, size.width, filter_));
  copy_planar(*scaled, cut.window(size), cut.mirrored, out);
  cache_.insert(sample, scaled);
}

/// The pixels of a picture of this size from which its crop, or what the cache keeps, is made.
Window SampleReader::wanted(ImageSize size, const Cut& cut) const {
  const ImageSize scaled = short_side_size(size, side_);
  if (cache_.fits(scaled)) return {0, 0, size.height, size.width};
  return resize_source(size.height, size.width, scaled.height, scaled.width, filter_,
                       cut.window(scaled));
}

io::Image SampleReader::decode(int64_t sample, const Cut& cut) {
  io::DecodeNotes notes;
  io::DecodeOptions options = options_;
  options.wanted = [&](int64_t height, int64_t width) { return wanted({height, width}, cut); };
  io::Image image = io::read_image(source_->path(sample), options, &notes);
  warn_once(warned_sixteen_bit_,
            notes.sixteen_bit_grey && options_.sixteen_bit == io::SixteenBit::kClip, sample,
            "16-bit grey is clipped to 255 and comes out almost white; "
            "data.sixteen_bit: scale keeps its high byte");
  warn_once(warned_alpha_, notes.transparent && options_.alpha == io::Alpha::kDrop, sample,
            "transparency is dropped, which shows the colours behind it; "
            "data.alpha: white blends over white");
  warn_once(warned_orientation_, notes.orientation != 1 && options_.exif == io::Exif::kIgnore,
            sample,
            "the orientation that the camera noted is ignored; data.exif: apply turns the picture");
  return image;
}

void SampleReader::warn_once(std::atomic<bool>& warned, bool met, int64_t sample,
                             const char* advice) {
  if (!met || warned.exchange(true)) return;
  log::warn(source_->path(sample).string() + ": " + advice + " (said once for the whole set)");
}

}  // namespace gear::data
