#include "gear/io/safetensors_shards.h"

#include <ATen/ops/equal.h>
#include <ATen/ops/rand.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "gear/io/weights.h"
#include "io/temporary_folder.h"

namespace gear::io {
namespace {

std::set<std::string> names_in(const std::filesystem::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    names.insert(entry.path().filename().string());
  }
  return names;
}

NamedTensors five_tensors() {
  NamedTensors tensors;
  for (int i = 0; i < 5; ++i) tensors.emplace_back("t" + std::to_string(i), at::rand({25}));
  return tensors;  // 100 bytes each
}

TEST(SafetensorsShards, NoFileHoldsMoreThanAskedForAndAllTensorsComeBack) {
  const TemporaryFolder folder;
  const auto tensors = five_tensors();
  write_sharded_safetensors(folder / "model", tensors, 250);
  EXPECT_EQ(
      names_in(folder / "model"),
      (std::set<std::string>{"model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors",
                             "model-00003-of-00003.safetensors", "model.safetensors.index.json"}));
  const auto index =
      nlohmann::json::parse(read_bytes(folder / "model" / "model.safetensors.index.json"));
  EXPECT_EQ(index["metadata"]["total_size"], 500);
  EXPECT_EQ(index["weight_map"]["t2"], "model-00002-of-00003.safetensors");
  const auto read = load_tensors(folder / "model");
  ASSERT_EQ(read.size(), tensors.size());
  for (const auto& [name, tensor] : tensors) EXPECT_TRUE(at::equal(read.at(name), tensor)) << name;
}

TEST(SafetensorsShards, WhatFitsIsOneFileWithoutIndex) {
  const TemporaryFolder folder;
  write_sharded_safetensors(folder / "model", five_tensors(), 500);
  EXPECT_EQ(names_in(folder / "model"), std::set<std::string>{"model.safetensors"});
}

TEST(SafetensorsShards, ATensorLargerThanAskedForHasAFileOfItsOwn) {
  const TemporaryFolder folder;
  write_sharded_safetensors(folder / "model", five_tensors(), 1);
  EXPECT_EQ(names_in(folder / "model").size(), 6u);
  EXPECT_EQ(load_tensors(folder / "model").size(), 5u);
}

}  // namespace
}  // namespace gear::io
