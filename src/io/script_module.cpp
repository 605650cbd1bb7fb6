#include "io/script_module.h"

#include <string>

#include "io/walk_limits.h"

namespace gear::io {
namespace {

using Kind = PickleValue::Kind;

/// Walks the attributes of modules.
class ScriptWalker {
 public:
  PickledMap collect(const PickleValue& root) {
    visit(root, "", 0);
    return std::move(tensors_);
  }

 private:
  void visit(const PickleValue& module, const std::string& prefix, int depth) {
    if (module.state == nullptr) return;
    for (const auto& [key, value] : module.state->entries) {
      if (!key->is(Kind::kString)) continue;
      const std::string name = prefix + key->text;
      limits_.count(depth, name);
      if (value->is(Kind::kTensor)) tensors_[name] = value->tensor;
      if (value->is(Kind::kObject)) visit(*value, name + ".", depth + 1);
    }
  }

  PickledMap tensors_;
  WalkLimits limits_;
};

}  // namespace

bool is_script_module(const PickleValue& root) {
  return root.is(Kind::kObject) && root.text.starts_with("__torch__.");
}

PickledMap script_tensors(const PickleValue& root) { return ScriptWalker().collect(root); }

}  // namespace gear::io
