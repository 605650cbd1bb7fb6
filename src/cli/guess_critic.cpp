#include <array>

#include "cli/guess_network.h"
#include "cli/network_names.h"
#include "gear/core/text.h"

namespace gear::cli {
namespace {

/// The network under LPIPS, by the width of its second stage.
std::string lpips_network(const NetworkNames& names) {
  constexpr int64_t kVggWidth = 128, kAlexNetWidth = 192;
  if (names.has("lin5.model.1.weight")) return "SqueezeNet";
  const int64_t width = names.size("lin1.model.1.weight", 1);
  return width == kVggWidth ? "VGG-16" : width == kAlexNetWidth ? "AlexNet" : "another network";
}

OptionalGuess guess_lpips(const NetworkNames& names) {
  const std::string network = lpips_network(names);
  NetworkGuess guess;
  if (names.has("net.slice1.0.weight")) {
    guess.text = "LPIPS: " + network + " and linear weights";
    return guess;
  }
  guess.text = "LPIPS: linear weights alone, for " + network;
  guess.file = "LPIPS linear weights (v0.1, for " + network + ")";
  if (network == "VGG-16") guess.path_key = "loss.lpips_linear_weights";
  return guess;
}

/// Index of the last convolution in torchvision's `features`, which tells the VGGs apart.
OptionalGuess guess_vgg(const NetworkNames& names) {
  struct Vgg {
    const char* name;
    int64_t last_convolution;
  };
  constexpr std::array<Vgg, 4> kVggs = {{{"11", 18}, {"13", 22}, {"16", 28}, {"19", 34}}};
  for (const Vgg& vgg : kVggs) {
    if (names.count("features.") != vgg.last_convolution + 1) continue;
    const std::string title = std::string("VGG-") + vgg.name;
    const std::string name = std::string("torchvision ") + title;
    NetworkGuess guess{
        .text = title + (names.has("classifier.0.weight") ? "" : " without its classifier"),
        .file = name};
    if (title == "VGG-16") guess.path_key = "loss.lpips_vgg_weights";
    return guess;
  }
  return std::nullopt;
}

}  // namespace

OptionalGuess guess_perceptual(const io::WeightPart& part) {
  NetworkNames names(part);
  if (names.choose("lin0.model.1.weight")) return guess_lpips(names);
  if (names.choose("features.0.weight")) return guess_vgg(names);
  return std::nullopt;
}

OptionalGuess guess_discriminator(const io::WeightPart& part) {
  NetworkNames names(part);
  if (!names.choose("main.0.weight") || names.size("main.0.weight", 1) != 3 ||
      names.size("main.0.weight", 3) == 0) {
    return std::nullopt;
  }
  const int64_t width = names.size("main.0.weight", 0);
  // Convolution and activation, then three modules a layer, then the last convolution.
  const int64_t layers = (names.count("main.") - 3) / 3;
  NetworkGuess guess{.text = "PatchGAN discriminator: base width " + format_count(width) + ", " +
                             std::to_string(layers) + " layers",
                     .keys = {{"discriminator.ndf", std::to_string(width)},
                              {"discriminator.layers", std::to_string(layers)}},
                     .path_key = "init.discriminator"};
  if (names.has("main.3.loc")) {
    guess.text += ", ActNorm (gear has batch and group norm)";
    guess.path_key.clear();
  }
  return guess;
}

}  // namespace gear::cli
