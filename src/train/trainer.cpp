#include "gear/train/trainer.h"

#include <ATen/Context.h>
#include <ATen/ops/tensor.h>

#include <exception>
#include <string>
#include <system_error>
#include <tuple>
#include <utility>

#include "gear/core/clock.h"
#include "gear/core/log.h"
#include "gear/core/random.h"
#include "gear/core/text.h"
#include "gear/dist/lost_rank.h"
#include "train/run_log.h"

namespace gear::train {
namespace {

bool due(int64_t step, int64_t every) { return every > 0 && step > 0 && step % every == 0; }

bool agreed_by_first(bool answer, const dist::World& world) {
  return world.share(answer ? "yes" : "no").front() == "yes";
}

/// Step 0 needs no checkpoint, being what a start makes, unless the run may have to go back to it.
int64_t saved_without_checkpoint(const RunConfig& config) {
  return config.optimizer.on_nonfinite == OnNonfinite::kRollback ? -1 : 0;
}

/// The networks of a recipe are brought together as long as it lives.
class OpenNetworks {
 public:
  explicit OpenNetworks(Recipe& recipe) : recipe_(recipe) { recipe_.open_networks(); }
  ~OpenNetworks() { recipe_.close_networks(); }
  OpenNetworks(const OpenNetworks&) = delete;
  OpenNetworks& operator=(const OpenNetworks&) = delete;

 private:
  Recipe& recipe_;
};

}  // namespace

Trainer::Trainer(const RunConfig& config, Recipe& recipe, BatchSource& source, RunFolder& folder,
                 TrainerHooks hooks)
    : config_(config),
      division_(divide_step(config, folder.world().size())),
      recipe_(recipe),
      source_(source),
      folder_(folder),
      hooks_(std::move(hooks)),
      saved_step_(saved_without_checkpoint(config)),
      nonfinite_steps_(config.optimizer.on_nonfinite),
      writer_(folder.checkpoints(), config.output.async_checkpoints
                                        ? CheckpointWriter::Mode::kBeside
                                        : CheckpointWriter::Mode::kAtOnce) {
  position_.seed = config_.seed;
  position_.data = folder_.data();
  if (folder_.start()) {
    restore(*folder_.start());
    if (folder_.start_is_own()) saved_step_ = position_.step;
  }
  source_.seek(position_.micro_batches);
  writer_.prepare(recipe_.state());
  folder_.save_config();
  open_log();
}

Trainer::~Trainer() = default;

void Trainer::open_log() {
  log_.reset();  // a file is open once
  log_ = std::make_unique<RunLog>(config_, folder_, position_.step);
  // What a stop, an error or a kill between checkpoint and evaluation left out is done first.
  std::error_code ignored;
  const bool evaluated = has_evaluation(folder_.metrics_path(), position_.step);
  const bool previewed = std::filesystem::exists(preview_path(), ignored);
  // As the first rank sees it: file systems may show others a state of before.
  evaluated_step_ = agreed_by_first(evaluated, folder_.world()) ? position_.step : -1;
  previewed_step_ = agreed_by_first(previewed, folder_.world()) ? position_.step : -1;
}

void Trainer::restore(const Checkpoint& checkpoint) {
  checkpoint.load(recipe_.state());
  recipe_.state_loaded();
  const RunPosition& stored = checkpoint.position();
  position_.step = stored.step;
  position_.samples = stored.samples;
  // In images, so that the run goes on at the same place when the size of a micro-batch changed.
  position_.micro_batches = stored.samples / division_.micro_batch_size;
  log::info("going on from " + checkpoint.folder().string() + ", step " +
            format_count(position_.step));
  if (finished()) {
    log::warn("no step is left: the run has done " + format_count(position_.step) +
              ", and steps is " + format_count(config_.steps) + "; raise steps to train on");
  }
}

void Trainer::save() {
  const Stopwatch watch;
  finish_saving();
  // A checkpoint must never be ahead of the lines that describe the way to it.
  writer_.save(position_, folder_.config_yaml(), recipe_.state(), [this] { log_->sync(); });
  saved_step_ = position_.step;
  tell_saved();
  log_->waited_for_save(watch.seconds());
}

void Trainer::save_unsaved() {
  if (saved_step_ < position_.step) save();
}

/// Waits for the save that is under way.
void Trainer::finish_saving() {
  writer_.wait();
  tell_saved();
}

void Trainer::tell_saved() {
  if (const auto path = writer_.take_finished()) log::info("saved " + path->string());
}

/// What any of the ranks has met since the last step.
Trainer::Events Trainer::agreed_events() {
  Events own{.signal = hooks_.stop ? hooks_.stop() : 0,
             .save_failed = writer_.failed(),
             .data_failed = data_error_ != nullptr};
  const dist::World& world = folder_.world();
  if (world.is_single()) return own;
  const auto row =
      at::tensor({static_cast<int64_t>(own.signal), static_cast<int64_t>(own.save_failed),
                  static_cast<int64_t>(own.data_failed)},
                 at::kLong);
  const Tensor all = world.stack(row.to(world.device()));  // [W, 3]
  const Tensor most = std::get<0>(all.max(0)).cpu();
  const auto* values = most.const_data_ptr<int64_t>();
  return {.signal = static_cast<int>(values[0]),
          .save_failed = values[1] != 0,
          .data_failed = values[2] != 0};
}

/// Runs what all ranks do alike but may fail on one of them alone: then it fails on all.
template <class Action>
void Trainer::failing_together(Action&& action) {
  std::exception_ptr own;
  std::string sentence;
  try {
    action();
  } catch (const dist::LostRank&) {  // all know of that
    throw;
  } catch (const std::exception& error) {
    own = std::current_exception();
    sentence = error.what();
  }
  const auto sentences = folder_.world().share_failure(sentence);
  if (own) std::rethrow_exception(own);
  for (const std::string& other : sentences) {
    if (!other.empty()) fail("another rank failed: ", other);
  }
}

/// Runs what stands between two steps; when it fails, the steps done are saved before the error
/// goes on, unless the ranks cannot save together any more.
template <class Action>
auto Trainer::saving_on_error(Action&& action) {
  try {
    return action();
  } catch (const std::exception&) {
    if (folder_.world().is_stopping()) throw;
    try {
      save_unsaved();
      finish_saving();
    } catch (const std::exception& error) {  // not the one that ended the run
      log::warn(std::string("the steps since the last checkpoint are lost: ") + error.what());
    }
    throw;
  }
}

TrainOutcome Trainer::run() {
  save_unsaved();  // what another run's checkpoint holds is part of this run from now on
  while (true) {
    load_batches();
    const Events events = agreed_events();
    if (events.save_failed) writer_.wait();
    tell_saved();
    if (events.signal != 0 && (!finished() || evaluation_due() || preview_due())) {
      save_unsaved();
      finish_saving();
      log::info(std::string(signal_name(events.signal)) + ": stopped after step " +
                format_count(position_.step) + "; run the same command again to go on");
      return TrainOutcome::kInterrupted;
    }
    saving_on_error([&] {
      if (events.data_failed)
        failing_together([this] {
          if (data_error_) std::rethrow_exception(data_error_);
        });
      evaluate_and_preview();
    });
    if (finished()) break;
    train_step(std::exchange(batches_, {}));
    log_->progress(position_.step);
    if (finished() || due(position_.step, config_.output.checkpoint_every)) save_unsaved();
  }
  finish_saving();
  log_->sync();
  log_->finish("finished " + format_count(position_.step) + " steps, " + folder_.path().string());
  return TrainOutcome::kFinished;
}

/// An error waits until all ranks know of it.
void Trainer::load_batches() {
  if (finished()) return;
  folder_.world().doing("waiting for data of step " + std::to_string(position_.step + 1));
  const Stopwatch watch;
  try {
    for (int64_t i = 0; i < division_.passes; ++i) batches_.push_back(source_.next());
  } catch (const std::exception&) {
    data_error_ = std::current_exception();
  }
  log_->waited_for_data(watch.seconds());
}

void Trainer::train_step(const std::vector<data::Batch>& micro_batches) {
  const std::string name = "step " + std::to_string(position_.step + 1);
  folder_.world().doing(name);
  if (nonfinite_steps_.is_left_out(position_.step)) {
    log::warn(name + ": was not finite twice; it is left out");
  } else if (!update(micro_batches)) {
    return;
  }
  ++position_.step;
  position_.micro_batches += division_.micro_batches;
  position_.samples += config_.data.batch_size;
}

/// One step of the recipe. False when the run has gone back to a checkpoint instead.
bool Trainer::update(const std::vector<data::Batch>& micro_batches) {
  at::manual_seed(stream_seed(static_cast<uint64_t>(config_.seed), "step",
                              static_cast<uint64_t>(position_.step)));
  const int64_t next = position_.step + 1;
  const bool logged = due(next, config_.output.log_every) || next == config_.steps;
  try {
    const Metrics metrics =
        recipe_.step(micro_batches, {.step = position_.step, .diagnostics = logged});
    nonfinite_steps_.succeeded();
    if (logged) log_->step(next, metrics.host_values());
    return true;
  } catch (const NonFiniteError& error) {
    return survives(error);
  }
}

bool Trainer::evaluation_due() const {
  return hooks_.evaluate && due(position_.step, config_.output.eval_every) &&
         evaluated_step_ != position_.step;
}

bool Trainer::preview_due() const {
  return hooks_.preview && due(position_.step, config_.output.preview_every) &&
         previewed_step_ != position_.step;
}

std::filesystem::path Trainer::preview_path() const {
  return folder_.samples() / (checkpoint_name(position_.step) + ".png");
}

void Trainer::evaluate_and_preview() {
  const int64_t step = position_.step;
  if (!evaluation_due() && !preview_due()) return;
  if (config_.parallel.shard == ShardMode::kFull && !folder_.world().is_single()) {
    // Blocks are brought together as they run: a rank that fails amid that cannot save any more.
    save_unsaved();
    finish_saving();
  }
  folder_.world().doing("evaluation after step " + std::to_string(step));
  const OpenNetworks whole(recipe_);
  if (evaluation_due()) {
    failing_together([&] { log_->evaluation(step, hooks_.evaluate(step).host_values()); });
    evaluated_step_ = step;
  }
  if (preview_due()) {
    failing_together([&] {
      const bool first = folder_.world().is_first();
      hooks_.preview(step, first ? preview_path() : std::filesystem::path());
      if (first) log_->preview(step, preview_path());
    });
    previewed_step_ = step;
  }
}

}  // namespace gear::train
