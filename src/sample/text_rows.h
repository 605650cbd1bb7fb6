#pragma once

#include <c10/core/Device.h>

#include "gear/sample/text_prompt.h"

// B images

namespace gear::sample {

/// The conditions to decode with: of the captions, [B, ...], or with guidance [2B, ...], those of
/// the empty text behind them. Throws Error for a network without text, for sizes that do not fit
/// it, and for guidance without the empty text or with a validity on one side alone.
models::TextCondition text_rows(const TextPrompt& prompt, const models::ArConfig& config,
                                bool guided, c10::Device device);

}  // namespace gear::sample
