#pragma once

#include <cstdlib>
#include <iostream>
#include <string_view>

#include "gear/core/error.h"

/// What is fuzzed: one function for each parser of bytes. A target reads the bytes as far as the
/// parser allows and returns, or lets the Error of a refusal pass. Anything else is a finding:
/// another exception, a broken promise (`expect`), a report of a sanitizer, a hang, too much
/// memory.
namespace gear::fuzz {

using Target = void (*)(std::string_view bytes);

void unpickler(std::string_view bytes);      ///< pickles, one after the other
void torch_archive(std::string_view bytes);  ///< a file of torch.save, zip or legacy
void script_module(std::string_view bytes);  ///< the pickle of an archive that is otherwise whole
void safetensors(std::string_view bytes);
void weights(std::string_view bytes);  ///< any weight file, an index with its shards too
void npz(std::string_view bytes);      ///< .npz, and .npy where the bytes begin like one
void image_bmp(std::string_view bytes);
void image_jpeg(std::string_view bytes);
void image_png(std::string_view bytes);
void image_pnm(std::string_view bytes);
void image_tiff(std::string_view bytes);
void image_webp(std::string_view bytes);
void config(std::string_view bytes);  ///< a configuration file, and an override

/// Ends the process, as a report of a sanitizer does, when a promise is broken.
inline void expect(bool holds, const char* promise) {
  if (holds) return;
  std::cerr << "broken promise: " << promise << std::endl;
  std::abort();
}

/// Runs `target`, for which a refusal is as good as a success.
inline void read_or_refuse(Target target, std::string_view bytes) {
  try {
    target(bytes);
  } catch (const Error& error) {
    expect(!std::string_view(error.what()).empty(), "a refusal says why");
  }
}

}  // namespace gear::fuzz
