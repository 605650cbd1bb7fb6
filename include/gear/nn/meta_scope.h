#pragma once

#include <c10/core/impl/LocalDispatchKeySet.h>

namespace gear::nn {

/// Within this scope tensors that are created without naming a device live on the meta device:
/// sizes and types, no storage. Networks of any size are built in it to read names and shapes, or
/// to be filled piece by piece; initialisation becomes a no-op.
class MetaScope {
 public:
  MetaScope();
  MetaScope(const MetaScope&) = delete;
  MetaScope& operator=(const MetaScope&) = delete;

 private:
  c10::impl::IncludeDispatchKeyGuard redirect_;
};

}  // namespace gear::nn
