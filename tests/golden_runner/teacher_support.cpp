#include "golden_runner/teacher_support.h"

namespace gear::golden {

void report_teacher(models::VitTeacher& model, const Case& golden, Report& report) {
  const auto image = golden.input("image");  // [B, 3, S, S] uint8
  const auto pixels = model.preprocess(image);
  report.output("preprocessed", pixels);
  for (int64_t block = 1; block <= model.depth(); ++block) {
    const std::string name = "tokens_block" + std::to_string(block);
    if (!golden.outputs().contains(name)) continue;
    report.output(name, model.patch_tokens(model.hidden(pixels, block)));
  }
  report.output("tokens_final", model.encode(image));
}

}  // namespace gear::golden
