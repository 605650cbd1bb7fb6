#include "sample/text_rows.h"

#include <ATen/ops/cat.h>

#include "gear/core/error.h"

// B images, T caption positions, C_t text feature width

namespace gear::sample {
namespace {

void expect_condition(const models::TextCondition& text, int64_t rows,
                      const models::TextConfig& config, const char* what) {
  const std::string of = std::string(" of ") + what;
  expect_sizes(text.features, {rows, config.tokens, config.dim}, "sampling: features" + of);
  if (!text.valid.defined()) return;
  expect_sizes(text.valid, {rows, config.tokens}, "sampling: valid positions" + of);
}

void expect_guidance(const TextPrompt& prompt) {
  if (!prompt.empty.features.defined()) {
    fail("sampling: guidance needs the features of the empty text beside those of the captions; ",
         "give them, or use cfg 1");
  }
  if (prompt.text.valid.defined() != prompt.empty.valid.defined()) {
    fail("sampling: guidance needs to know which positions are padding of both the captions and ",
         "the empty text, and only ",
         prompt.text.valid.defined() ? "the captions" : "the empty text",
         " came with that; give both, or neither");
  }
}

/// [B, ...] of `one` above [B, ...] of `other`, which may have a single row for all.
Tensor stacked(const Tensor& one, const Tensor& other) {
  return at::cat({one, other.expand_as(one).to(one.options())});
}

}  // namespace

models::TextCondition text_rows(const TextPrompt& prompt, const models::ArConfig& config,
                                bool guided, c10::Device device) {
  if (!config.text) {
    fail("sampling: this network draws classes, not captions; give class labels");
  }
  if (!prompt.text.features.defined() || prompt.text.features.numel() == 0) {
    fail("sampling: needs at least one caption");
  }
  const int64_t images = prompt.text.features.size(0);
  expect_condition(prompt.text, images, *config.text, "the captions");
  models::TextCondition rows = prompt.text;
  if (guided) {
    expect_guidance(prompt);
    const int64_t empty_rows = prompt.empty.features.size(0) == 1 ? 1 : images;
    expect_condition(prompt.empty, empty_rows, *config.text, "the empty text");
    rows.features = stacked(rows.features, prompt.empty.features);
    if (rows.valid.defined()) rows.valid = stacked(rows.valid, prompt.empty.valid);
  }
  rows.features = rows.features.to(device);
  if (rows.valid.defined()) rows.valid = rows.valid.to(device);
  return rows;
}

}  // namespace gear::sample
