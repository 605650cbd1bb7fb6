#include "io/script_module.h"

#include <string>

#include "gear/core/error.h"

namespace gear::io {
namespace {

using Kind = PickleValue::Kind;

constexpr int kMaxDepth = 100;
constexpr int64_t kMaxVisits = 1'000'000;

/// Walks the attributes of modules with bounds: an object may be shared, or even hold itself.
class ScriptWalker {
 public:
  TensorMap collect(const PickleValue& root) {
    visit(root, "", 0);
    return std::move(tensors_);
  }

 private:
  void visit(const PickleValue& module, const std::string& prefix, int depth) {
    if (depth > kMaxDepth || ++visits_ > kMaxVisits) {
      fail("the modules are nested deeper or shared more often than in any network");
    }
    if (module.state == nullptr) return;
    for (const auto& [key, value] : module.state->entries) {
      if (!key->is(Kind::kString)) continue;
      if (value->is(Kind::kTensor)) tensors_[prefix + key->text] = value->tensor;
      if (value->is(Kind::kObject)) visit(*value, prefix + key->text + ".", depth + 1);
    }
  }

  TensorMap tensors_;
  int64_t visits_ = 0;
};

}  // namespace

bool is_script_module(const PickleValue& root) {
  return root.is(Kind::kObject) && root.text.starts_with("__torch__.");
}

TensorMap script_tensors(const PickleValue& root) { return ScriptWalker().collect(root); }

}  // namespace gear::io
