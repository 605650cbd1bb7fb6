#pragma once

#include <cstdint>
#include <exception>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "gear/core/signals.h"
#include "gear/train/batch_source.h"
#include "gear/train/checkpoint_writer.h"
#include "gear/train/nonfinite_steps.h"
#include "gear/train/recipe.h"
#include "gear/train/run_config.h"
#include "gear/train/run_folder.h"
#include "gear/train/step_division.h"

namespace gear::train {

class RunLog;

/// What the command line lends the trainer; each may be left out. They run between two steps and
/// must leave networks and their train/eval mode as they found them.
struct TrainerHooks {
  /// Draws a picture grid for the run's state after `step` updates into the PNG file `path`; on
  /// other ranks than the first, where `path` is empty, only computes it.
  std::function<void(int64_t step, const std::filesystem::path& path)> preview{};
  /// Measures the networks after `step` updates; logged under the names it returns.
  std::function<Metrics(int64_t step)> evaluate{};
  /// A signal number once the run should stop, else 0; asked between two steps.
  std::function<int()> stop = stop_signal;
};

enum class TrainOutcome { kFinished, kInterrupted };

/// The loop around any recipe: data, random streams, logs, previews, checkpoints, stopping.
///
/// Every step starts by seeding LibTorch's generators from (seed, step), and the data position is
/// part of a checkpoint, so a run that is killed and resumed repeats the uninterrupted one bit for
/// bit: weights, moments, averages, and metrics.jsonl except its `time/` fields.
///
/// Every rank of the run folder's world has such an object and does the same at the same time; the
/// first one writes.
class Trainer {
 public:
  /// Loads the checkpoint the run folder starts from, if any, into the recipe. Throws Error when it
  /// does not fit.
  Trainer(const RunConfig& config, Recipe& recipe, BatchSource& source, RunFolder& folder,
          TrainerHooks hooks = {});
  ~Trainer();

  /// Trains until config.steps updates are done or a stop is asked for; both end with a checkpoint,
  /// but for a stop before the first step. A stop does not wait for an evaluation or preview that
  /// is due: the resumed run begins with it. Throws Error naming the step when a loss or gradient
  /// is not finite and optimizer.on_nonfinite does not help. Before that, and before an error of
  /// the data or of a hook leaves here, the steps done so far are saved.
  TrainOutcome run();

  int64_t step() const { return position_.step; }  ///< updates done

 private:
  void restore(const Checkpoint& checkpoint);
  void open_log();
  struct Events {
    int signal = 0;
    bool save_failed = false;
    bool data_failed = false;
  };
  Events agreed_events();
  template <class Action>
  void failing_together(Action&& action);
  bool finished() const { return position_.step >= config_.steps; }
  bool evaluation_due() const;
  bool preview_due() const;
  std::filesystem::path preview_path() const;
  void load_batches();
  void train_step(const std::vector<data::Batch>& micro_batches);
  bool update(const std::vector<data::Batch>& micro_batches);
  void evaluate_and_preview();
  void save();
  void save_unsaved();
  void finish_saving();
  void tell_saved();
  template <class Action>
  auto saving_on_error(Action&& action);
  bool survives(const NonFiniteError& error);
  [[noreturn]] void stop_at_nonfinite(const std::string& what, const std::string& damaged);
  void go_back(const std::string& what);
  std::string damaged_tensor();
  void clear_gradients();

  const RunConfig config_;
  const StepDivision division_;
  Recipe& recipe_;
  BatchSource& source_;
  RunFolder& folder_;
  TrainerHooks hooks_;
  RunPosition position_;
  int64_t saved_step_;  // the last one
  int64_t evaluated_step_ = -1;
  int64_t previewed_step_ = -1;
  NonfiniteSteps nonfinite_steps_;
  std::vector<data::Batch> batches_;  // of the next step
  std::exception_ptr data_error_;     // instead of them
  std::unique_ptr<RunLog> log_;
  CheckpointWriter writer_;  // goes before log_, which it syncs
};

}  // namespace gear::train
