#pragma once

#include <string>

#include "gear/data/index_set.h"
#include "gear/models/tokenizers/tokenizer.h"
#include "gear/train/run_config.h"

/// Whether stored indices are those that the tokenizer of a run would find.
namespace gear::train {

/// SHA-256 over names, shapes and float32 values of all weights, in the order of their names: the
/// same for the same weights in whatever file.
std::string tokenizer_sha256(const models::Tokenizer& tokenizer);

/// Throws Error unless codebook, token grid and picture size are those of the configuration.
void expect_indices_fit(const data::IndexSet& indices, const RunConfig& config);

/// Throws Error unless these weights made the indices.
void expect_indices_of(const data::IndexSet& indices, const models::Tokenizer& tokenizer);

}  // namespace gear::train
