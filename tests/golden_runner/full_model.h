#pragma once

#include <string>

#include "golden_runner/golden_case.h"

namespace gear::golden {

// One checker per model family, each in full_<family>.cpp and listed in full_model.cpp: official
// full-size configurations with weights by formula.
Outcome check_full_tokenizer(const Case&, Report&);  // VQ-16, LFQ-16, IBQ-16 ...
Outcome check_full_llamagen(const Case&, Report&);   // LlamaGen-B ...
Outcome check_full_dinov2(const Case&, Report&);     // dinov2_vits14 ...
Outcome check_full_dinov3(const Case&, Report&);     // dinov3_vits16 ...
Outcome check_full_patchgan(const Case&, Report&);   // PatchGAN

/// Fills the network by the case's weight formula.
void fill_by_formula(torch::nn::Module& module, const Case& golden);

/// Compares the L2 norm of every parameter's gradient with grads "norm:<name>".
void report_gradient_norms(const torch::nn::Module& module, Report& report);

}  // namespace gear::golden
