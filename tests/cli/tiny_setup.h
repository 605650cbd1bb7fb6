#pragma once

#include <fstream>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "cli/gear_process.h"
#include "gear/core/random.h"
#include "gear/io/hash.h"
#include "gear/io/image.h"

/// Pictures and a configuration with which a training step takes milliseconds.
namespace gear::cli::testing {

/// A small picture of coloured noise that depends on `seed` alone.
inline io::Image noise_image(uint64_t seed, int64_t width = 20, int64_t height = 18) {
  io::Image image(width, height);
  RandomStream stream(seed);
  for (uint8_t& value : image.pixels) value = static_cast<uint8_t>(stream.integer(0, 255));
  return image;
}

/// Writes an ImageFolder of two classes with `per_class` pictures each.
inline void write_pictures(const fs::path& root, int per_class = 6) {
  for (const std::string name : {"apple", "pear"}) {
    for (int i = 0; i < per_class; ++i) {
      const auto seed = static_cast<uint64_t>(i) + (name == "pear" ? 100 : 0);
      io::write_png(root / name / (std::to_string(i) + ".png"), noise_image(seed));
    }
  }
}

/// A folder with pictures under data/, and the arguments to train on them.
class TinySetup {
 public:
  TinySetup() {
    write_pictures(data());
    std::ofstream(config()) << "seed: 3\n"
                               "steps: 3\n"
                               "precision: fp32\n"
                               "threads: 1\n"
                               "run_dir: " +
                                   run().string() +
                                   "\n"
                                   "data:\n"
                                   "  path: " +
                                   data().string() +
                                   "\n"
                                   "  image_size: 16\n"
                                   "  batch_size: 4\n"
                                   "tokenizer:\n"
                                   "  ch: 32\n"
                                   "  ch_mult: [1, 1]\n"
                                   "  num_res_blocks: 1\n"
                                   "  z_channels: 16\n"
                                   "  quantizer: {codebook_size: 32, codebook_dim: 4}\n"
                                   "ar: {dim: 32, depth: 2, heads: 2, ffn_multiple_of: 32}\n"
                                   "teacher:\n"
                                   "  model: dinov2-custom\n"
                                   "  custom_dim: 32\n"
                                   "  custom_depth: 1\n"
                                   "  custom_heads: 2\n"
                                   "discriminator: {ndf: 8, layers: 2}\n"
                                   "loss: {perceptual: 0, tap: 1, projector_dim: 32}\n"
                                   "output:\n"
                                   "  log_every: 1\n"
                                   "  preview_every: 0\n"
                                   "  tensorboard: false\n";
  }

  const fs::path& root() const { return folder_.path(); }
  fs::path data() const { return folder_ / "data"; }
  fs::path run() const { return folder_ / "run"; }
  fs::path config() const { return folder_ / "tiny.yaml"; }

  /// "gear train tiny.yaml", with `overrides` ("a.b=c") and further arguments.
  std::vector<std::string> train_arguments(const std::vector<std::string>& overrides,
                                           const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments = {"train", config().string()};
    for (const std::string& assignment : overrides) {
      arguments.insert(arguments.end(), {"--set", assignment});
    }
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  Outcome train(const std::vector<std::string>& overrides = {},
                const std::vector<std::string>& more = {}) const {
    return run_gear(root(), train_arguments(overrides, more));
  }
  Outcome gear(const std::vector<std::string>& arguments) const {
    return run_gear(root(), arguments);
  }

 private:
  io::TemporaryFolder folder_;
};

/// File name to SHA-256 of every safetensors file of a checkpoint.
inline std::map<std::string, std::string> weight_sums(const fs::path& checkpoint) {
  std::map<std::string, std::string> sums;
  for (const auto& entry : fs::directory_iterator(checkpoint)) {
    if (entry.path().extension() != ".safetensors") continue;
    sums[entry.path().filename().string()] = io::sha256_of_file(entry.path());
  }
  return sums;
}

inline std::set<std::string> names_in(const fs::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    names.insert(entry.path().filename().string());
  }
  return names;
}

}  // namespace gear::cli::testing
