#pragma once

#include <string>
#include <vector>

#include "cli/bench_report.h"

namespace gear::cli {

/// Sizes of the read-out: those of a batch of 8 images of 256 pixels by default.
struct ReadoutBench {
  int64_t tokens = 2048;
  int64_t codes = 16384;
  int64_t dim = 768;
  int64_t rounds = 5;
  bool bfloat16 = false;    ///< also with products in bfloat16
  bool skip_dense = false;  ///< leave the formula out, whose matrices may not fit in memory
};
BenchReport bench_readout(const ReadoutBench& sizes);

struct LossBench {
  int64_t tokens = 2048;
  int64_t codes = 16384;
  int64_t dim = 768;
  int64_t rounds = 5;
  bool bfloat16 = false;
};
BenchReport bench_loss(const LossBench& sizes);

struct StepBench {
  std::string config;  ///< path of a run's configuration
  std::vector<std::string> overrides;
  int64_t rounds = 5;
};
BenchReport bench_step(const StepBench& options);

struct SampleBench {
  std::string config;
  std::vector<std::string> overrides;
  int64_t batch = 1;
  double cfg = 4.0;
  int64_t top_k = 2000;
  int64_t rounds = 3;
  std::vector<std::string> weights = {"fp32", "bf16", "int8"};
  bool skip_plain = false;  ///< leave the network's own layers out, which take long
};
BenchReport bench_sample(const SampleBench& options);

struct LoaderBench {
  std::string data;  ///< image folder
  int64_t image_size = 256;
  int64_t batch = 32;
  int64_t workers = 1;
  int64_t cache_mb = 0;  ///< as data.cache_mb; pictures kept in memory would be decoded only once
  int64_t rounds = 5;
};
BenchReport bench_loader(const LoaderBench& options);

struct CheckpointBench {
  std::string config;
  std::vector<std::string> overrides;
  std::string folder;  ///< where the checkpoints are written; empty: the folder for temporary files
  int64_t rounds = 5;
};
BenchReport bench_checkpoint(const CheckpointBench& options);

}  // namespace gear::cli
