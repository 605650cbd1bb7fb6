#pragma once

#include <ATen/ops/dropout.h>
#include <ATen/ops/empty.h>
#include <gtest/gtest.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/linear.h>

#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gear/config/config.h"
#include "gear/core/random.h"
#include "gear/io/image.h"
#include "gear/train/adamw.h"
#include "gear/train/ema.h"
#include "gear/train/grad_clip.h"
#include "gear/train/schedule.h"
#include "gear/train/trainer.h"
#include "io/temporary_folder.h"

/// A run small enough to be trained hundreds of times in a test, with everything that a restart can
/// get wrong: dropout, running statistics, moments, an average, warm-up and accumulation.
namespace gear::train::testing {

struct TinyNetImpl : torch::nn::Module {
  explicit TinyNetImpl(int64_t width)
      : first(register_module("first", torch::nn::Linear(12, width))),
        norm(register_module("norm", torch::nn::BatchNorm1d(width))),
        last(register_module("last", torch::nn::Linear(width, 1))) {}

  Tensor forward(const Tensor& x) {  // [B, 12] -> [B, 1]
    return last(at::dropout(norm(first(x)).relu(), 0.3, is_training()));
  }
  torch::nn::Linear first;
  torch::nn::BatchNorm1d norm;
  torch::nn::Linear last;
};
TORCH_MODULE(TinyNet);

class TinyRecipe : public Recipe {
 public:
  explicit TinyRecipe(const RunConfig& config, int64_t width = 5)
      : config_(config),
        net_(seeded(width)),
        shadow_(width),
        optimizer_(trainable_parameters(*net_, "net"), adamw_options(config.optimizer)),
        ema_(*net_, *shadow_, config.optimizer.ema_decay) {}

  Metrics step(std::span<const data::Batch> micro_batches, const StepContext& context) override {
    if (before_step) before_step(context);
    const double scale = 1.0 / static_cast<double>(micro_batches.size());
    optimizer_.zero_grad();  // of a step that was not finite
    Metrics metrics;
    for (const data::Batch& batch : micro_batches) {
      const auto x = batch.images.flatten(1).to(at::kFloat) / 255.0;  // [B, 12]
      auto loss = (net_->forward(x).squeeze(1) - batch.labels.to(at::kFloat)).square().mean();
      if (context.step == poisoned_step) loss = loss * (loss - loss) / (loss - loss);  // 0 / 0
      (loss * scale).backward();
      Metrics one;
      one.add("loss_total", loss);
      metrics.accumulate(one, scale);
    }
    metrics.add("grad_norm",
                clip_and_check(optimizer_.parameters(), config_.optimizer.max_grad_norm));
    const double lr =
        scheduled_lr(config_.optimizer, config_.optimizer.ar_lr, context.step, config_.steps);
    optimizer_.step(lr);
    optimizer_.zero_grad();
    ema_.update();
    return metrics;
  }

  std::vector<TensorGroup> state() override {
    return {module_group("net", *net_), module_group("net_ema", *shadow_),
            optimizer_.state("optimizer")};
  }
  SamplingPair sampling_pair(bool) override { return {}; }

  int64_t poisoned_step = -1;
  std::function<void(const StepContext&)> before_step{};

 private:
  static TinyNet seeded(int64_t width) {
    at::manual_seed(7);
    return TinyNet(width);
  }

  const RunConfig config_;
  TinyNet net_, shadow_;
  AdamW optimizer_;
  Ema ema_;
};

/// Batches that depend on their position alone.
class TinySource : public BatchSource {
 public:
  explicit TinySource(int64_t size) : size_(size) {}
  data::Batch next() override {
    std::this_thread::sleep_for(pause);
    if (position_ == fails_at) fail("micro-batch ", position_, " cannot be read");
    RandomStream stream(stream_seed(3, "batch", static_cast<uint64_t>(position_++)));
    data::Batch batch{.images = at::empty({size_, 3, 2, 2}, at::kByte),
                      .labels = at::empty({size_}, at::kLong),
                      .sample_ids = {}};
    for (int64_t i = 0; i < batch.images.numel(); ++i) {
      batch.images.data_ptr<uint8_t>()[i] = static_cast<uint8_t>(stream.integer(0, 255));
    }
    for (int64_t i = 0; i < size_; ++i) batch.labels.data_ptr<int64_t>()[i] = stream.integer(0, 3);
    return batch;
  }
  void seek(int64_t micro_batch) override { position_ = micro_batch; }
  int64_t position() const { return position_; }

  int64_t fails_at = -1;
  std::chrono::milliseconds pause{0};  // that a batch takes

 private:
  int64_t size_;
  int64_t position_ = 0;
};

inline RunConfig tiny_config(int64_t steps = 9) {
  RunConfig config;
  config.run_dir = "unused";
  config.steps = steps;
  config.seed = 5;
  config.data.path = "unused";
  config.data.batch_size = 8;
  config.optimizer.accumulation = 2;
  config.optimizer.ar_lr = 0.05;
  config.optimizer.warmup_steps = 2;
  config.optimizer.ema_decay = 0.8;
  config.output.log_every = 2;
  config.output.checkpoint_every = 4;
  config.output.eval_every = 2;
  config.output.preview_every = 3;
  config.output.tensorboard = false;
  return config;
}

/// Everything around a tiny run in `folder`; a second object on the same folder resumes it.
struct TinyRun {
  TinyRun(const RunConfig& run_config, const std::filesystem::path& folder_path,
          const std::string& resume = "auto", int64_t width = 5)
      : config(run_config),
        folder({.path = folder_path,
                .config_yaml = config::dump(config),
                .resume = Resume::parse(resume),
                .keep_checkpoints = config.output.keep_checkpoints,
                .data = {.images = 40, .names_sha256 = "of the names"}}),
        recipe(config, width),
        source(config.data.batch_size / config.optimizer.accumulation) {}

  TrainOutcome train(std::function<int()> stop = [] { return 0; }) {
    return train_with(hooks(std::move(stop)));
  }
  TrainOutcome train_with(TrainerHooks hooks) {
    return Trainer(config, recipe, source, folder, std::move(hooks)).run();
  }

  /// An evaluation and a preview that follow from the averaged weights.
  TrainerHooks hooks(std::function<int()> stop) {
    return {.preview = [this](int64_t, const std::filesystem::path& path) { draw(path); },
            .evaluate =
                [this](int64_t) {
                  Metrics metrics;
                  metrics.add("eval/weight_sum", weight_sum());
                  return metrics;
                },
            .stop = std::move(stop)};
  }

  void draw(const std::filesystem::path& path) {
    io::Image image(4, 2);
    const double sum = weight_sum();
    std::memcpy(image.pixels.data(), &sum, sizeof sum);
    io::write_png(path, image);
  }

  double weight_sum() {
    double sum = 0.0;
    for (const auto& [name, tensor] : recipe.state()[1].tensors) {
      sum += tensor.sum().item<double>();
    }
    return sum;
  }

  RunConfig config;
  RunFolder folder;
  TinyRecipe recipe;
  TinySource source;
};

/// Asks for a stop once, after the `count`-th step of this process.
inline std::function<int()> stop_after(int64_t count) {
  return [left = count]() mutable { return left-- == 0 ? SIGTERM : 0; };
}

inline std::filesystem::path checkpoint_path(const std::filesystem::path& run, int64_t step) {
  return run / "checkpoints" / checkpoint_name(step);
}

inline std::string read_text(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

/// metrics.jsonl without what depends on the clock.
inline std::string timeless_metrics(const std::filesystem::path& run_folder) {
  std::ifstream stream(run_folder / "metrics.jsonl");
  std::string text;
  for (std::string line; std::getline(stream, line);) {
    const auto json = nlohmann::ordered_json::parse(line);
    nlohmann::ordered_json kept;
    for (const auto& [key, value] : json.items()) {
      if (!key.starts_with("time/")) kept[key] = value;
    }
    text += kept.dump() + "\n";
  }
  return text;
}

/// Bytes of every file of a folder by name.
inline std::map<std::string, std::string> file_bytes(const std::filesystem::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    files[entry.path().filename().string()] = read_text(entry.path());
  }
  return files;
}

/// Names the file that differs, not its bytes.
inline void expect_same_files(const std::filesystem::path& found,
                              const std::filesystem::path& expected) {
  const auto files = file_bytes(found);
  const auto expected_files = file_bytes(expected);
  EXPECT_EQ(files.size(), expected_files.size()) << found;
  for (const auto& [name, bytes] : expected_files) {
    const auto file = files.find(name);
    EXPECT_TRUE(file != files.end() && file->second == bytes) << found / name;
  }
}

/// Both runs ended after `steps` alike, to the last byte: checkpoint, previews, and metrics.jsonl
/// without the clock.
inline void expect_same_end(const std::filesystem::path& run, const std::filesystem::path& expected,
                            int64_t steps) {
  const std::string last = "checkpoints/" + checkpoint_name(steps);
  expect_same_files(run / last, expected / last);
  expect_same_files(run / "samples", expected / "samples");
  EXPECT_EQ(timeless_metrics(run), timeless_metrics(expected)) << run;
}

using io::TemporaryFolder;

/// The message of the Error that `action` throws.
template <class Action>
std::string message_of(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no Error was thrown";
}

}  // namespace gear::train::testing
