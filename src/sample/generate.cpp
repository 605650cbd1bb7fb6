#include "gear/sample/generate.h"

#include <ATen/ops/argmax.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/searchsorted.h>
#include <ATen/ops/softmax.h>

#include <algorithm>
#include <memory>

#include "gear/core/error.h"
#include "gear/core/random.h"
#include "sample/inference_scope.h"
#include "sample/text_rows.h"

// B images, L tokens per image, K codes; with guidance the rows are [conditional; unconditional]

namespace gear::sample {
namespace {

void expect_request(const models::ArModel& ar, const Tensor& labels, const SampleOptions& options) {
  const auto& config = ar->config();
  if (config.text) fail("sampling: this network draws captions, not classes; give text features");
  if (labels.numel() == 0) fail("sampling: needs at least one class label");
  const auto low = labels.min().item<int64_t>(), high = labels.max().item<int64_t>();
  if (low < 0 || high >= config.num_classes) {
    fail("sampling: class labels must be between 0 and ", config.num_classes - 1, ", got ",
         low < 0 ? low : high);
  }
  if (options.cfg > 1.0 && !ar->has_null_class()) {
    fail("sampling: guidance (cfg ", options.cfg, ") needs a network trained with class dropout, ",
         "and this one has no null class; use cfg 1");
  }
}

/// The random number of every draw, [L, B] float64 in [0, 1).
Tensor uniform_draws(const SampleOptions& options, int64_t positions, int64_t images) {
  // Kept a little below 1 so that draw * total stays below the total mass after rounding.
  constexpr double kMost = 1.0 - 0x1.0p-40;
  const auto draws = at::empty({positions, images}, at::kDouble);
  double* values = draws.data_ptr<double>();
  for (int64_t position = 0; position < positions; ++position) {
    for (int64_t i = 0; i < images; ++i) {
      const uint64_t seed = stream_seed(options.seed, "sample", static_cast<uint64_t>(position),
                                        static_cast<uint64_t>(options.first_image + i));
      *values++ = std::min(RandomStream(seed).uniform(), kMost);
    }
  }
  return draws;
}

/// One code per row of `logits` [B, K] by inverse distribution function; draws [B] -> ids [B].
Tensor draw_codes(const Tensor& logits, const Tensor& draws) {
  const auto mass = at::softmax(logits, -1).cumsum(-1, at::kDouble);            // [B, K]
  const auto point = draws.unsqueeze(1) * mass.narrow(1, mass.size(1) - 1, 1);  // [B, 1]
  return at::searchsorted(mass, point, /*out_int32=*/false, /*right=*/true).squeeze(1);
}

bool guided(const SampleOptions& options, int64_t position) {
  if (options.cfg <= 1.0) return false;
  // The interval counts decode steps, and the first of them yields token 1.
  return options.cfg_interval < 0 || position <= options.cfg_interval + 1;
}

c10::Device device_of(const models::ArModel& ar) { return ar->tok_embeddings->weight.device(); }

/// Starts with the condition of every row; returns their logits.
using Prefill = std::function<Tensor(models::Decoding&)>;

Tensor draw_tokens(const models::ArDecoder& decoder, int64_t images, const Prefill& prefill,
                   const SampleOptions& options, const LogitsObserver& observer) {
  auto ar = decoder.model();
  const auto device = device_of(ar);
  const InferenceScope inference(*ar);

  const int64_t positions = ar->config().num_tokens;
  const FilterOptions filter = {options.temperature, options.top_k, options.top_p};
  const auto draws = uniform_draws(options, positions, images).to(device);
  const auto tokens = at::empty({images, positions}, at::TensorOptions(device).dtype(at::kLong));

  const auto decoding = decoder.start(guided(options, 0) ? 2 * images : images);
  Tensor fed;  // [B] or [2B]
  for (int64_t position = 0; position < positions; ++position) {
    auto logits = position == 0 ? prefill(*decoding) : decoding->step(fed);
    if (guided(options, position)) {
      const auto halves = logits.chunk(2);  // conditional c, unconditional u, each [B, K]
      logits = halves[1] + options.cfg * (halves[0] - halves[1]);
    }
    if (observer) observer(position, logits.clone());
    const auto filtered = filter_logits(logits, filter);
    const auto ids =
        options.greedy ? at::argmax(filtered, -1) : draw_codes(filtered, draws[position]);  // [B]
    tokens.select(1, position).copy_(ids);
    fed = guided(options, position + 1) ? at::cat({ids, ids}) : ids;
    if (decoding->rows() > fed.size(0)) decoding->keep_first(fed.size(0));  // guidance is over
  }
  return tokens;
}

}  // namespace

Tensor generate_tokens(const models::ArDecoder& ar, const Tensor& labels,
                       const SampleOptions& options, const LogitsObserver& observer) {
  expect_request(ar.model(), labels, options);
  auto rows = labels.to(device_of(ar.model()));  // [B] or [2B]
  if (guided(options, 0)) rows = at::cat({rows, at::full_like(rows, ar.model()->null_class())});
  const auto prefill = [&](models::Decoding& decoding) { return decoding.prefill(rows); };
  return draw_tokens(ar, labels.size(0), prefill, options, observer);
}

Tensor generate_tokens(const models::ArDecoder& ar, const TextPrompt& prompt,
                       const SampleOptions& options, const LogitsObserver& observer) {
  const auto device = device_of(ar.model());
  const auto rows = text_rows(prompt, ar.model()->config(), guided(options, 0), device);
  const auto prefill = [&](models::Decoding& decoding) { return decoding.prefill(rows); };
  return draw_tokens(ar, prompt.text.features.size(0), prefill, options, observer);
}

Tensor tokens_to_images(models::Tokenizer& tokenizer, const Tensor& tokens) {
  const InferenceScope inference(tokenizer);
  return models::to_uint8(tokenizer.decode_ids(tokens));
}

}  // namespace gear::sample
