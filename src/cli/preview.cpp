#include "cli/preview.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/stack.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "gear/core/error.h"
#include "gear/core/log.h"
#include "gear/data/held_out.h"
#include "gear/io/image.h"
#include "gear/sample/grid.h"
#include "gear/sample/sampler.h"

namespace gear::cli {
namespace {

/// Pictures for the reconstruction rows of the previews, spread over the whole set: uint8
/// [n, 3, S, S].
Tensor preview_inputs(const data::ImageFolder& images, const data::DataConfig& data,
                      int64_t count) {
  std::vector<Tensor> pictures;
  count = std::min(count, images.size());
  for (int64_t i = 0; i < count; ++i) {
    try {
      pictures.push_back(
          data::read_held_out(images.path((2 * i + 1) * images.size() / (2 * count)), data));
    } catch (const Error& error) {
      log::warn(std::string("left out of the previews: ") + error.what());
    }
  }
  if (pictures.empty()) fail(images.root().string(), ": no picture for the previews can be read");
  return at::stack(pictures);
}

/// Draws inputs, their reconstructions and, where there is a transformer, samples of the classes in
/// turn, one row each, with the averaged networks. Without `inputs`: samples alone.
class Preview {
 public:
  Preview(const train::RunConfig& config, train::Recipe& recipe, Tensor inputs)
      : config_(config), recipe_(recipe), inputs_(std::move(inputs)) {}

  void operator()(int64_t /*step*/, const std::filesystem::path& path) {
    const at::NoGradGuard no_grad;
    const auto networks = recipe_.sampling_pair(/*ema=*/true);
    const int64_t columns = inputs_.defined() ? inputs_.size(0) : config_.output.preview_images;
    std::vector<Tensor> rows;
    if (inputs_.defined()) {
      const auto reconstruction =
          networks.tokenizer->forward(models::to_signed_unit(inputs_)).reconstruction;
      rows = {inputs_.cpu(), models::to_uint8(reconstruction).cpu()};
    }
    if (networks.ar) rows.push_back(samples(networks, columns));
    if (!path.empty()) io::write_png(path, sample::image_grid(at::cat(rows), columns));
  }

 private:
  Tensor samples(const train::SamplingPair& networks, int64_t count) const {
    const auto& output = config_.output;
    const auto labels = at::arange(count, at::kLong).remainder(config_.data.num_classes);
    // A copy of all weights, which decodes faster, is nothing for a network in parts.
    const bool whole = config_.parallel.shard == train::ShardMode::kNone;
    const auto decoder =
        whole ? models::ArDecoder(networks.ar) : models::ArDecoder::plain(networks.ar);
    return sample::sample_images(*networks.tokenizer, decoder, labels,
                                 {.cfg = output.sample_cfg,
                                  .cfg_interval = output.sample_cfg_interval,
                                  .temperature = output.sample_temperature,
                                  .top_k = output.sample_top_k,
                                  .top_p = output.sample_top_p,
                                  .seed = static_cast<uint64_t>(config_.seed)},
                                 count);
  }

  const train::RunConfig& config_;
  train::Recipe& recipe_;
  Tensor inputs_;
};

}  // namespace

PreviewHook make_preview(const ResolvedRun& run, const data::ImageFolder* held_out,
                         train::Recipe& recipe, c10::Device device) {
  const auto& config = run.config;
  if (config.output.preview_every == 0) return {};
  if (!recipe.sampling_pair(/*ema=*/true).tokenizer) {
    log::warn(
        "no previews: drawing pictures needs the tokenizer that the indices were made with; set "
        "init.tokenizer to it");
    return {};
  }
  if (!run.data.images) return Preview(config, recipe, {});
  const auto inputs = preview_inputs(held_out != nullptr ? *held_out : *run.data.images,
                                     config.data, config.output.preview_images);
  return Preview(config, recipe, inputs.to(device));
}

}  // namespace gear::cli
