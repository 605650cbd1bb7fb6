#include "gear/models/ar/image_stream.h"

#include <ATen/core/grad_mode.h>

#include "gear/core/error.h"
#include "gear/core/text.h"

namespace gear::models {
namespace {

const std::string kClassTable = "cls_embedding.embedding_table.weight";

/// What a class-conditional file cannot have.
std::vector<std::string> text_weights(int64_t double_stream_blocks) {
  std::vector<std::string> names = {"cls_embedding.cap_proj."};
  for (int64_t i = 0; i < double_stream_blocks; ++i) {
    const std::string block = "layers." + std::to_string(i) + ".";
    for (const char* name :
         {"attention.wqkv_text.", "attention.wo_text.", "attention_norm_text."}) {
      names.push_back(block + name);
    }
  }
  return names;
}

void copy_image_stream(ArBlockImpl& block) {
  const at::NoGradGuard no_grad;
  block.attention->wqkv_text->weight.copy_(block.attention->wqkv->weight);
  block.attention->wo_text->weight.copy_(block.attention->wo->weight);
  block.attention_norm_text->weight.copy_(block.attention_norm->weight);
}

}  // namespace

void load_image_stream(ArModel& model, const io::TensorMap& tensors, const std::string& source,
                       TextStreamStart start) {
  TORCH_CHECK(model->config().text, "load_image_stream: this network has no text stream");
  if (!tensors.contains(kClassTable)) {
    fail(source, ": has no ", kClassTable, ", so it is not of a class-conditional transformer; ",
         "weights of a text-conditional one are loaded as a whole");
  }
  const int64_t double_stream_blocks = model->config().double_stream_blocks();
  const auto report = io::assign_weights(*model, tensors, source,
                                         {.may_be_missing = text_weights(double_stream_blocks)});
  if (report.unused.size() != 1) {
    fail(source, ": has tensors that this transformer has no place for (", join(report.unused),
         "); expected only ", kClassTable,
         " to be left over: the file is of another depth or kind");
  }
  if (start == TextStreamStart::kAsItIs) return;
  for (int64_t i = 0; i < double_stream_blocks; ++i) {
    copy_image_stream(*model->layers->ptr<ArBlockImpl>(static_cast<size_t>(i)));
  }
}

}  // namespace gear::models
