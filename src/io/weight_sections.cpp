#include "gear/io/weight_sections.h"

#include "gear/core/error.h"
#include "io/script_module.h"
#include "io/weight_names.h"

namespace gear::io {

std::map<std::string, TensorMap> tensor_sections(const TorchArchive& archive) {
  const PickleValue& root = archive.root();
  if (is_script_module(root)) {
    return {{"", with_context(archive.path(), [&] { return values_of(script_tensors(root)); })}};
  }
  std::map<std::string, TensorMap> sections;
  const auto add = [&](const std::string& key, const PickledMap& tensors) {
    if (!tensors.empty()) sections[key] = without_wrappers(values_of(tensors), archive.path());
  };
  add("", tensors_of(root));
  for (const auto& [key, value] : root.entries) {
    if (!key->is(PickleValue::Kind::kString) || !value->is(PickleValue::Kind::kDict)) continue;
    add(key->text, section_tensors(key->text, *value, archive.path()));
  }
  return sections;
}

}  // namespace gear::io
