#include "gear/train/reference/args.h"

#include <bit>
#include <filesystem>
#include <type_traits>

#include "gear/core/error.h"
#include "gear/core/text.h"
#include "gear/train/config_text.h"
#include "train/reference/flags.h"
#include "train/reference/presets.h"

namespace gear::train::reference {
namespace {

using io::PickleValue;
using Kind = PickleValue::Kind;
constexpr const char* kWholeConfig = "gear_config";
constexpr const char* kUnknownData = "unknown";  // data.path of files that do not tell it

/// The value of a flag; nullptr when it is absent or None.
const PickleValue* given(const PickleValue& args, const char* flag) {
  const PickleValue* value = args.find(flag);
  return value == nullptr || value->is(Kind::kNone) ? nullptr : value;
}

bool parse(const PickleValue& value, bool) {
  if (!value.is(Kind::kBool)) fail("is ", describe(value), ", expected a boolean");
  return value.integer != 0;
}

int64_t parse(const PickleValue& value, int64_t) {
  if (!value.is(Kind::kInt)) fail("is ", describe(value), ", expected an integer");
  return value.integer;
}

double parse(const PickleValue& value, double) {
  if (value.is(Kind::kInt)) return static_cast<double>(value.integer);
  if (!value.is(Kind::kFloat)) fail("is ", describe(value), ", expected a number");
  return value.real;
}

std::string parse(const PickleValue& value, const std::string&) {
  if (!value.is(Kind::kString)) fail("is ", describe(value), ", expected a text");
  return value.text;
}

template <class T>
requires std::is_enum_v<T> T parse(const PickleValue& value, T) {
  const std::string text = parse(value, std::string());
  const auto& names = config::EnumNames<T>::value;
  for (size_t i = 0; i < names.size(); ++i) {
    if (text == names[i]) return static_cast<T>(i);
  }
  fail("is ", text, ", expected one of ",
       join(std::vector<std::string>(names.begin(), names.end())));
}

/// Sets fields of a configuration from flags.
class FlagReader {
 public:
  FlagReader(const PickleValue& args, const std::string& source) : args_(args), source_(source) {}

  template <class T>
  void operator()(const char* flag, T& field) const {
    at(flag, [&](const PickleValue& value) { field = parse(value, field); });
  }

  /// Calls `take` with the value of the flag, if it has one.
  template <class Take>
  bool at(const char* flag, Take&& take) const {
    const PickleValue* value = given(args_, flag);
    if (value == nullptr) return false;
    with_context(source_ + ": args: " + flag, [&] { take(*value); });
    return true;
  }

 private:
  const PickleValue& args_;
  const std::string& source_;
};

/// Sets flags from fields of a configuration.
class FlagWriter {
 public:
  explicit FlagWriter(io::TorchValue::Dict& args) : args_(args) {}

  template <class T>
  void operator()(const char* flag, const T& field) {
    if constexpr (std::is_enum_v<T>) {
      args_.set(flag, config::detail::format(field));
    } else {
      args_.set(flag, field);
    }
  }

 private:
  io::TorchValue::Dict& args_;
};

/// The lookup-free families have a bit for each channel, whatever the flag says.
void force_code_width(models::QuantizerConfig& quantizer) {
  const bool lookup_free = quantizer.kind == models::QuantizerKind::kLfq ||
                           quantizer.kind == models::QuantizerKind::kGlfq;
  if (lookup_free) {
    quantizer.codebook_dim = std::countr_zero(static_cast<uint64_t>(quantizer.codebook_size));
  }
}

Precision precision_of(const std::string& mixed_precision) {
  if (mixed_precision == "no") return Precision::kFp32;
  return mixed_precision == "bf16" ? Precision::kBf16 : Precision::kAuto;  // fp16: what fits here
}

RunConfig config_from_flags(const PickleValue& args, const std::string& source) {
  RunConfig config;
  config.data.num_classes = 1000;  // gear's own default counts the folders
  const FlagReader read(args, source);
  read.at("vq_model", [&](const PickleValue& value) {
    config.tokenizer = tokenizer_preset(parse(value, std::string()));
  });
  read.at("ar_model", [&](const PickleValue& value) {
    config.ar = transformer_preset(parse(value, std::string()));
  });
  same_flags(config, read);
  force_code_width(config.tokenizer.quantizer);
  config.ar.ffn_dropout = config.ar.residual_dropout;
  read.at("vq_align_straight_through", [&](const PickleValue& value) {
    config.loss.readout = parse(value, false) ? Readout::kSte : Readout::kSoft;
  });
  read.at("mixed_precision", [&](const PickleValue& value) {
    config.precision = precision_of(parse(value, std::string()));
  });
  if (config.data.path.empty()) config.data.path = kUnknownData;
  return config;
}

}  // namespace

RunConfig config_from_args(const PickleValue& args, const std::string& source) {
  if (const PickleValue* whole = given(args, kWholeConfig)) {
    const std::string place = source + ": args: " + kWholeConfig;
    const std::string yaml = with_context(place, [&] { return parse(*whole, std::string()); });
    return config_of_text(yaml, place);
  }
  return config_from_flags(args, source);
}

io::TorchValue::Dict args_from_config(const RunConfig& config) {
  io::TorchValue::Dict args;
  const std::filesystem::path run_dir = config.run_dir;
  args.set("exp_name", run_dir.filename().string());
  args.set("output_dir", run_dir.parent_path().string());
  if (const std::string name = tokenizer_name(config.tokenizer); !name.empty()) {
    args.set("vq_model", name);
  }
  args.set("downsample_ratio", config.tokenizer.downsampling());
  const bool has_transformer = config.recipe != RecipeKind::kTokenizer;
  if (const std::string name = transformer_name(config.ar); has_transformer && !name.empty()) {
    args.set("ar_model", name);
    args.set("cls_token_num", 1);
  }
  RunConfig fields = config;  // the visitor is given fields that it could change
  FlagWriter write(args);
  same_flags(fields, write);
  args.set("vq_align_straight_through", config.loss.readout == Readout::kSte);
  if (config.precision != Precision::kAuto) {
    args.set("mixed_precision", config.precision == Precision::kBf16 ? "bf16" : "no");
  }
  args.set(kWholeConfig, config_text(config, /*with_help=*/false));
  return args;
}

}  // namespace gear::train::reference
