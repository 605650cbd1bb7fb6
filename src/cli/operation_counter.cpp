#include "cli/operation_counter.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>

#include <string_view>

#include "gear/core/tensor.h"

namespace gear::cli {
namespace {

double values_of(const Tensor& tensor) {
  return tensor.defined() ? static_cast<double>(tensor.numel()) : 0.0;
}

/// Of a call whose inputs are known, and whose output is not yet.
struct Operations : at::ObserverContext {
  double whole = 0.0;
  double for_each_output = 0.0;
};

/// A sum of so many products.
double sum_of_products(double count) { return 2.0 * count; }

/// Products for each output value: as many as a filter has weights.
double of_filter(const Tensor& weight) {
  return sum_of_products(values_of(weight) / static_cast<double>(weight.size(0)));
}

/// Reads inputs of a call, which live no longer than its beginning.
class Inputs {
 public:
  explicit Inputs(c10::ArrayRef<const c10::IValue> values) : values_(values) {}

  Tensor tensor(size_t i) const { return values_[i].isTensor() ? values_[i].toTensor() : Tensor(); }
  bool flag(size_t i) const { return values_[i].toBool(); }
  int64_t number(size_t i) const { return values_[i].toInt(); }
  auto last_flags() const { return values_.back().toBoolList(); }

 private:
  c10::ArrayRef<const c10::IValue> values_;
};

/// Winograd's, counted as a direct one: x, weight, padding.
double of_own_convolution(const Inputs& inputs) {
  const Tensor x = inputs.tensor(0), weight = inputs.tensor(1);
  const int64_t growth = 2 * inputs.number(2) - weight.size(2) + 1;
  const int64_t pixels = x.size(0) * (x.size(2) + growth) * (x.size(3) + growth);
  return sum_of_products(static_cast<double>(pixels) * values_of(weight));
}

/// Scores and their product with the values, forwards; five such products backwards, where the
/// scores are computed again. [B, H, n, d] and [B, H, m, d].
double of_attention(const Tensor& query, const Tensor& key, bool backward) {
  const double products = values_of(query) * static_cast<double>(key.size(2));
  return (backward ? 5.0 : 2.0) * sum_of_products(products);
}

void count_call(std::string_view name, const Inputs& inputs, Operations& found) {
  if (name == "aten::mm" || name == "aten::bmm") {
    found.for_each_output = sum_of_products(static_cast<double>(inputs.tensor(0).size(-1)));
  } else if (name == "aten::addmm" || name == "aten::addmm_" || name == "aten::baddbmm") {
    found.for_each_output = sum_of_products(static_cast<double>(inputs.tensor(1).size(-1)));
  } else if (name == "aten::convolution") {
    found.for_each_output = of_filter(inputs.tensor(1));
  } else if (name == "aten::convolution_backward") {  // of the input, of the weight
    const auto wanted = inputs.last_flags();
    found.whole = values_of(inputs.tensor(0)) * of_filter(inputs.tensor(2)) *
                  (int{wanted[0]} + int{wanted[1]});
  } else if (name == "gear::convolution") {
    found.whole = of_own_convolution(inputs);
  } else if (name == "gear::convolution_backward") {
    found.whole = values_of(inputs.tensor(0)) * of_filter(inputs.tensor(1)) *
                  (int{inputs.flag(2)} + int{inputs.flag(3)});
  } else if (name.starts_with("aten::_scaled_dot_product_")) {
    const bool backward = name.find("backward") != std::string_view::npos;
    const size_t first = backward ? 1 : 0;
    found.whole = of_attention(inputs.tensor(first), inputs.tensor(first + 1), backward);
  }
}

}  // namespace

std::atomic<double> OperationCounter::count_ = 0.0;

OperationCounter::OperationCounter() {
  count_ = 0.0;
  handle_ = at::addGlobalCallback(at::RecordFunctionCallback(begin, end)
                                      .needsInputs(true)
                                      .needsOutputs(true)
                                      .scopes({at::RecordScope::FUNCTION}));
}

OperationCounter::~OperationCounter() { at::removeCallback(handle_); }

std::unique_ptr<at::ObserverContext> OperationCounter::begin(const at::RecordFunction& call) {
  auto found = std::make_unique<Operations>();
  count_call(call.name(), Inputs(call.inputs()), *found);
  return found;
}

void OperationCounter::end(const at::RecordFunction& call, at::ObserverContext* context) {
  const auto& found = static_cast<const Operations&>(*context);
  double outputs = 0.0;
  if (found.for_each_output > 0.0 && !call.outputs().empty() && call.outputs()[0].isTensor()) {
    outputs = values_of(call.outputs()[0].toTensor());
  }
  count_ += found.whole + found.for_each_output * outputs;
}

}  // namespace gear::cli
