#include <gtest/gtest.h>

#include "gear/io/safetensors.h"
#include "gear/io/weight_parts.h"
#include "io/pickle_builder.h"
#include "io/temporary_folder.h"
#include "work/branch_count.h"

namespace gear::work {
namespace {

/// A file of safetensors with `count` tensors of no elements.
std::string safetensors_of(int count) {
  std::string header = "{";
  for (int i = 0; i < count; ++i) {
    header += (i > 0 ? ",\"t" : "\"t") + std::to_string(i) +
              R"(":{"dtype":"F32","shape":[0],"data_offsets":[0,0]})";
  }
  header += "}";
  std::string file;
  io::append_number(file, header.size(), 8);
  return file + header;
}

/// A file of torch.save with `count` dictionaries of one tensor and as many numbers at its top.
std::string parts_of(int count) {
  using namespace io::pickled;
  std::vector<std::pair<std::string, std::string>> entries;
  for (int i = 0; i < count; ++i) {
    const std::string name = std::to_string(i);
    entries.emplace_back("part" + name, dict({{"w", tensor(storage("0", 10), {1}, {1})}}));
    entries.emplace_back("number" + name, integer(i));
  }
  return io::torch_zip(dict(entries));
}

template <class Make, class Read>
void expect_work_in_proportion(Make make, Read read) {
  const io::TemporaryFolder folder;
  const auto work = [&](int count) {
    io::write_bytes(folder / "x", make(count));
    return branches_of([&] { read(folder / "x"); });
  };
  const uint64_t few = work(kFew);
  EXPECT_GT(few, static_cast<uint64_t>(kFew));  // they are counted
  EXPECT_LT(work(kMany), kMostGrowth * few);
}

TEST(Work, OfASafetensorsHeaderGrowsNoFasterThanItsTensors) {
  expect_work_in_proportion(safetensors_of, [](const auto& path) {
    EXPECT_GE(io::SafetensorsFile(path).names().size(), static_cast<size_t>(kFew));
  });
}

TEST(Work, OfTheTopOfATorchFileGrowsNoFasterThanItsKeys) {
  expect_work_in_proportion(parts_of, [](const auto& path) {
    EXPECT_GE(io::open_weight_file(path).parts.size(), static_cast<size_t>(kFew));
  });
}

}  // namespace
}  // namespace gear::work
