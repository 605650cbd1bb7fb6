#include "gear/sample/sampler.h"

#include <ATen/ops/cat.h>

#include <algorithm>
#include <vector>

#include "gear/core/error.h"

namespace gear::sample {

Tensor sample_images(models::Tokenizer& tokenizer, const models::ArDecoder& ar,
                     const Tensor& labels, const SampleOptions& options, int64_t batch_size,
                     const SampleProgress& progress) {
  const int64_t codes = tokenizer.config().quantizer.codebook_size;
  if (ar.model()->config().vocab_size != codes) {
    fail("sampling: the transformer knows ", ar.model()->config().vocab_size,
         " codes and the tokenizer ", codes, "; take both from the same run");
  }
  TORCH_CHECK(batch_size > 0, "sample_images: the batch size must be positive, got ", batch_size);
  const int64_t total = labels.size(0);
  std::vector<Tensor> batches;
  SampleOptions batch_options = options;
  for (int64_t begin = 0; begin < total; begin += batch_size) {
    const int64_t count = std::min(batch_size, total - begin);
    batch_options.first_image = options.first_image + begin;
    const auto tokens = generate_tokens(ar, labels.narrow(0, begin, count), batch_options);
    batches.push_back(tokens_to_images(tokenizer, tokens).cpu());
    if (progress) progress(begin + count, total);
  }
  if (batches.empty()) fail("sampling: needs at least one class label");
  return at::cat(batches);
}

}  // namespace gear::sample
