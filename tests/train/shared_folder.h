#pragma once

#include "dist/ranks.h"
#include "tiny_run.h"

namespace gear::train::testing {

/// A folder that all ranks of a test use; it stays until all are done with it.
class SharedFolder {
 public:
  explicit SharedFolder(const dist::World& world)
      : world_(world), path_(world.share(own_.path().string())[0]) {}
  ~SharedFolder() { world_.barrier(); }
  SharedFolder(const SharedFolder&) = delete;
  SharedFolder& operator=(const SharedFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  const TemporaryFolder own_;
  const dist::World& world_;
  std::filesystem::path path_;
};

}  // namespace gear::train::testing
