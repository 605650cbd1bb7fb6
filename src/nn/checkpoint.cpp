#include "gear/nn/checkpoint.h"

#include <ATen/Context.h>
#include <ATen/core/Generator.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/custom_class.h>

#include <mutex>
#include <utility>

#include "gear/nn/autocast.h"
#include "gear/nn/dropout.h"

namespace gear::nn {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

Tensor generator_state(c10::Device device) {
  auto generator = at::globalContext().defaultGenerator(device);
  const std::lock_guard lock(generator.mutex());
  return generator.get_state();
}

void set_generator_state(c10::Device device, const Tensor& state) {
  auto generator = at::globalContext().defaultGenerator(device);
  const std::lock_guard lock(generator.mutex());
  generator.set_state(state);
}

/// Replays the random numbers that followed `state`, then continues where the generator was.
class ReplayScope {
 public:
  ReplayScope(c10::Device device, const Tensor& state)
      : device_(device), interrupted_(generator_state(device)) {
    set_generator_state(device, state);
  }
  ~ReplayScope() { set_generator_state(device_, interrupted_); }
  ReplayScope(const ReplayScope&) = delete;
  ReplayScope& operator=(const ReplayScope&) = delete;

 private:
  c10::Device device_;
  Tensor interrupted_;
};

/// Autocast reuses low-precision copies of weights. One made in the forward pass, where no graph is
/// recorded, must not be met by the recomputation: it would cut the weight off from its gradient.
class UncachedCastScope {
 public:
  UncachedCastScope() : was_enabled_(at::autocast::is_autocast_cache_enabled()) {
    at::autocast::set_autocast_cache_enabled(false);
  }
  ~UncachedCastScope() { at::autocast::set_autocast_cache_enabled(was_enabled_); }
  UncachedCastScope(const UncachedCastScope&) = delete;
  UncachedCastScope& operator=(const UncachedCastScope&) = delete;

 private:
  bool was_enabled_;
};

/// What the backward pass needs beside the tensors.
struct Frame : torch::CustomClassHolder {
  explicit Frame(std::function<Tensor(const Tensor&)> run) : segment(std::move(run)) {}

  std::function<Tensor(const Tensor&)> segment;
  Tensor random_state;
  uint32_t next_draw = 0;
  bool autocast = false;
  at::ScalarType autocast_dtype = at::kBFloat16;
};

struct Checkpoint : torch::autograd::Function<Checkpoint> {
  static Tensor forward(AutogradContext* context, const Tensor& x, at::TensorList parameters,
                        const c10::intrusive_ptr<Frame>& frame) {
    variable_list saved = {x};
    saved.insert(saved.end(), parameters.begin(), parameters.end());
    context->save_for_backward(std::move(saved));
    context->saved_data["frame"] = c10::IValue::make_capsule(frame);

    const auto device = x.device();
    frame->random_state = generator_state(device);
    frame->next_draw = next_draw();
    frame->autocast = at::autocast::is_autocast_enabled(device.type());
    frame->autocast_dtype = at::autocast::get_autocast_dtype(device.type());
    const UncachedCastScope uncached;
    return frame->segment(x);
  }

  static variable_list backward(AutogradContext* context, const variable_list& grad_outputs) {
    const auto saved = context->get_saved_variables();  // x, then the parameters
    const auto frame =
        c10::static_intrusive_pointer_cast<Frame>(context->saved_data.at("frame").toCapsule());
    const auto x = saved[0].detach().requires_grad_(context->needs_input_grad(0));

    Tensor output;
    {
      const at::AutoGradMode with_graph(true);
      const AutocastScope autocast(x.device().type(), frame->autocast, frame->autocast_dtype);
      const UncachedCastScope uncached;
      const ReplayScope replay(x.device(), frame->random_state);
      set_next_draw(frame->next_draw);
      output = frame->segment(x);
    }
    variable_list wanted;
    for (size_t i = 0; i < saved.size(); ++i) {
      if (context->needs_input_grad(i)) wanted.push_back(i == 0 ? x : saved[i]);
    }
    auto found = torch::autograd::grad({output}, wanted, grad_outputs, /*retain_graph=*/false,
                                       /*create_graph=*/false, /*allow_unused=*/true);
    variable_list gradients(saved.size() + 1);  // the frame has none
    for (size_t i = 0, next = 0; i < saved.size(); ++i) {
      if (context->needs_input_grad(i)) gradients[i] = std::move(found[next++]);
    }
    return gradients;
  }
};

}  // namespace

Tensor checkpoint(std::function<Tensor(const Tensor&)> segment, const Tensor& x,
                  const std::vector<Tensor>& parameters) {
  if (!at::GradMode::is_enabled()) return segment(x);
  return Checkpoint::apply(x, at::TensorList(parameters),  // a plain vector would not be tracked
                           c10::make_intrusive<Frame>(std::move(segment)));
}

}  // namespace gear::nn
