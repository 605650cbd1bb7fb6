#include "gear/train/encode_set.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cstdio>

#include "gear/core/error.h"
#include "gear/data/index_file.h"
#include "gear/data/loader.h"
#include "gear/io/atomic.h"
#include "gear/train/data_fingerprint.h"
#include "gear/train/stored_indices.h"

// n pictures of a batch, N tokens per picture

namespace gear::train {
namespace {

namespace fs = std::filesystem;

data::DataConfig as_in_training(data::DataConfig config) {
  config.val_filter = data::Filter::kBicubic;
  return config;
}

/// Writes the files of one set.
class Encoder {
 public:
  Encoder(models::Tokenizer& tokenizer, std::shared_ptr<const data::ImageFolder> images,
          const EncodeOptions& options)
      : tokenizer_(tokenizer),
        device_(tokenizer.parameters().front().device()),
        images_(std::move(images)),
        options_(options),
        one_file_(options.out.extension() == ".safetensors"),
        file_size_(one_file_ ? images_->size() : options.file_size),
        loader_(images_, as_in_training(options.data), {.micro_batch_size = options.batch}) {
    const auto& config = tokenizer.config();
    info_ = {.image_size = options.data.image_size,
             .grid = options.data.image_size / config.downsampling(),
             .codebook_size = config.quantizer.codebook_size,
             .tokenizer_sha256 = tokenizer_sha256(tokenizer),
             .pictures_sha256 = data_fingerprint(*images_).names_sha256,
             .classes = images_->classes(),
             .mirrored = options.mirrored,
             .files = (images_->size() + file_size_ - 1) / file_size_};
  }

  EncodeSummary run() {
    const at::NoGradGuard no_grad;
    refuse_other_files();
    EncodeSummary summary{.files = info_.files};
    for (int64_t number = 0; number < info_.files; ++number) {
      const fs::path path = path_of(number);
      int64_t pictures = 0;
      if (fs::exists(path)) {
        pictures = pictures_of_earlier(path, number);
        ++summary.kept;
      } else {
        pictures = write(path, number);
      }
      summary.pictures += pictures;
    }
    summary.unreadable = loader_.bad_images();
    return summary;
  }

 private:
  fs::path path_of(int64_t number) const {
    if (one_file_) return options_.out;
    char name[96];
    std::snprintf(name, sizeof name, "indices-%05lld-of-%05lld.safetensors",
                  static_cast<long long>(number), static_cast<long long>(info_.files));
    return options_.out / name;
  }

  /// A folder of other index files would become a mixture that nothing can read.
  void refuse_other_files() const {
    if (one_file_ || !fs::exists(options_.out)) return;
    io::remove_partial_files(options_.out);
    for (const auto& entry : fs::directory_iterator(options_.out)) {
      if (entry.path().extension() != ".safetensors") continue;
      bool own = false;
      for (int64_t i = 0; i < info_.files && !own; ++i) {
        own = entry.path().filename() == path_of(i).filename();
      }
      if (!own) refuse(entry.path());
    }
  }

  [[noreturn]] void refuse(const fs::path& path) const {
    fail(path.string(),
         ": is there already and is not what this command would write (other pictures, tokenizer, "
         "size or options); choose another --out, or remove it");
  }

  int64_t pictures_of_earlier(const fs::path& path, int64_t number) const {
    const auto earlier = data::read_index_file(path);
    if (earlier.info != info_ || earlier.number != number) refuse(path);
    return earlier.labels.size(0);
  }

  /// Encodes the pictures of file `number`; returns how many.
  int64_t write(const fs::path& path, int64_t number) {
    const int64_t first = number * file_size_;
    const int64_t end = std::min(first + file_size_, images_->size());
    data::IndexFile file{.info = info_, .number = number};
    std::vector<Tensor> indices, mirrored, labels;
    loader_.seek(first / options_.batch);
    for (int64_t done = first; done < end;) {
      auto batch = loader_.next();
      if (!batch) break;
      done = batch->sample_ids.back() + 1;
      if (!keep(*batch, first, end)) continue;
      for (const int64_t sample : batch->sample_ids) {
        file.names.push_back(images_->path(sample).lexically_relative(images_->root()).string());
      }
      labels.push_back(batch->labels);
      const Tensor pictures = models::to_signed_unit(batch->images.to(device_));
      indices.push_back(encode(pictures));
      if (info_.mirrored) mirrored.push_back(encode(pictures.flip(-1)));
      if (options_.progress) options_.progress(std::min(done, end), images_->size());
    }
    file.labels = joined(labels, at::empty({0}, at::kLong));
    file.indices = joined(indices, at::empty({0, info_.grid * info_.grid}, at::kInt));
    if (info_.mirrored) file.mirrored = joined(mirrored, file.indices.slice(0, 0, 0));
    data::write_index_file(path, file);
    return file.labels.size(0);
  }

  static Tensor joined(const std::vector<Tensor>& parts, const Tensor& none) {
    return parts.empty() ? none : at::cat(parts);
  }

  /// Drops the rows that belong to the files before and behind; false when none is left.
  static bool keep(data::Batch& batch, int64_t first, int64_t end) {
    const auto& samples = batch.sample_ids;  // rising
    const auto from = std::lower_bound(samples.begin(), samples.end(), first) - samples.begin();
    const auto to = std::lower_bound(samples.begin(), samples.end(), end) - samples.begin();
    if (from == to) return false;
    batch.images = batch.images.slice(0, from, to);
    batch.labels = batch.labels.slice(0, from, to);
    batch.sample_ids = {samples.begin() + from, samples.begin() + to};
    return true;
  }

  /// [n, 3, S, S] -> [n, N] on the CPU
  Tensor encode(const Tensor& pictures) {
    return tokenizer_.encode_ids(pictures).to(at::kCPU, at::kInt);
  }

  models::Tokenizer& tokenizer_;
  c10::Device device_;
  std::shared_ptr<const data::ImageFolder> images_;
  const EncodeOptions& options_;
  bool one_file_;
  int64_t file_size_;
  data::ValidationLoader loader_;
  data::IndexInfo info_;
};

}  // namespace

EncodeSummary encode_set(models::Tokenizer& tokenizer,
                         std::shared_ptr<const data::ImageFolder> images,
                         const EncodeOptions& options) {
  const auto& config = tokenizer.config();
  if (config.quantizer.groups > 1) {
    fail("gear encode: the quantizer ", config::detail::format(config.quantizer.kind),
         " gives every token ", config.quantizer.groups,
         " ids, and no transformer here learns those; use a tokenizer with one id per token");
  }
  if (options.data.image_size % config.downsampling() != 0) {
    fail("--image-size: must be divisible by ", config.downsampling(),
         ", the downsampling factor of the tokenizer, got ", options.data.image_size);
  }
  return Encoder(tokenizer, std::move(images), options).run();
}

}  // namespace gear::train
