// Kind `preprocess`: decoding of image files and the deterministic parts of the transforms.

#include <algorithm>
#include <filesystem>
#include <optional>

#include "gear/core/error.h"
#include "gear/data/transform.h"
#include "gear/io/safetensors.h"
#include "golden_runner/golden_case.h"

namespace gear::golden {
namespace {

using data::Filter;
using data::Window;

std::optional<Filter> filter_named(const std::string& name) {
  if (name == "box") return Filter::kBox;
  if (name == "bilinear") return Filter::kBilinear;
  if (name == "bicubic") return Filter::kBicubic;
  if (name == "lanczos") return Filter::kLanczos;
  return std::nullopt;
}

at::Tensor interleaved(const io::Image& image) {
  return io::to_tensor(image).permute({1, 2, 0}).contiguous();  // [H, W, 3]
}

io::Image image_of(const at::Tensor& pixels) {  // [H, W, 3]
  io::Image image(pixels.size(1), pixels.size(0));
  const at::Tensor rows = pixels.contiguous();
  std::copy_n(rows.const_data_ptr<uint8_t>(), image.pixels.size(), image.pixels.begin());
  return image;
}

/// A square of the image with its short side scaled to `side`, as the loader cuts it: [3, S, S].
at::Tensor scaled_crop(const io::Image& image, int64_t side, Filter filter, const data::Cut& cut) {
  at::Tensor planes = at::empty({3, side, side}, at::kByte);
  data::scaled_crop(image, side, filter, cut, planes.data_ptr<uint8_t>());
  return planes;
}

/// The number that starts at `text`, and what follows it: "32.crop0" -> 32, "crop0".
struct SideAndRest {
  int64_t side = 0;
  std::string rest{};
};
SideAndRest split_side(const std::string& text) {
  size_t digits = 0;
  const int64_t side = std::stoll(text, &digits);
  return {side, digits < text.size() ? text.substr(digits + 1) : ""};
}

/// What `name` (the part after "<file>/") says, computed from decoded pixels; an undefined tensor
/// for a name of no known form.
at::Tensor transformed(const io::Image& image, const std::string& name,
                       const nlohmann::json& facts) {
  if (name == "rgb") return interleaved(image);
  if (name.starts_with("adm"))
    return interleaved(data::adm_centre_crop(image, std::stoll(name.substr(3))));
  if (name.starts_with("val")) {
    const auto [side, mode] = split_side(name.substr(3));
    const auto filter = filter_named(mode);
    if (!filter) return {};
    return scaled_crop(image, side, *filter, data::centre_cut(side));
  }
  if (!name.starts_with("train")) return {};
  const auto [side, rest] = split_side(name.substr(5));
  if (rest == "resized")
    return io::to_tensor(data::resize_short_side(image, side, Filter::kBicubic));
  const auto& crop = facts.at(name);
  const Window window{crop.at("top"), crop.at("left"), side, side};
  return scaled_crop(image, side, Filter::kBicubic,
                     {[&](data::ImageSize) { return window; }, crop.at("flip")});
}

void check_decoded(const std::string& file, const nlohmann::json& facts, const io::Image& image,
                   Report& report) {
  report.expect(file + ": width", image.width == facts.at("width").get<int64_t>());
  report.expect(file + ": height", image.height == facts.at("height").get<int64_t>());
  for (const auto& [name, value] : facts.items()) {
    if (!name.starts_with("resized")) continue;
    const auto size =
        data::short_side_size({image.height, image.width}, std::stoll(name.substr(7)));
    report.expect(file + ": " + name, value.at(0).get<int64_t>() == size.width &&
                                          value.at(1).get<int64_t>() == size.height);
  }
}

void check_bad_images(const Case& golden, Report& report) {
  const auto folder = golden.folder() / "bad_images";
  for (const auto& [file, exception] : golden.json().at("bad_images").items()) {
    const auto path = folder / file;
    std::string message;
    try {
      io::read_image(path);
    } catch (const Error& error) {
      message = error.what();
    }
    report.expect("bad_images/" + file + " is refused with a sentence that names it",
                  message.starts_with(path.string() + ": "));
  }
}

/// Compares 8-bit values: each within `most`, and their mean error within `most_on_average`.
void compare(const std::string& name, const at::Tensor& found, const at::Tensor& expected,
             double most, double most_on_average, Report& report) {
  const bool comparable = found.defined() && found.sizes() == expected.sizes();
  report.expect(name + ": its form is known and its shape agrees", comparable);
  if (!comparable) return;
  const auto error = (found.to(at::kDouble) - expected.to(at::kDouble)).abs();
  report.within(name, error.max().item<double>(), most);
  report.within(name + " on average", error.mean().item<double>(), most_on_average);
}

/// Checks one file and everything made of it. Pixels of a JPEG may differ a little, since its
/// transform is not fixed to the bit; what follows from the pixels is exact again.
void check_image(const Case& golden, const std::string& file, const Tensors& expected,
                 Report& report) {
  constexpr double kJpegMost = 3.0, kJpegMean = 0.5;  // tolerance.rgb_jpeg of the case
  const auto& facts = golden.json().at("images").at(file);
  io::Image image = io::read_image(golden.folder() / "images" / file);
  check_decoded(file, facts, image, report);
  const auto rgb = expected.find("rgb");
  if (facts.at("format") == "JPEG" && rgb != expected.end()) {
    compare(file + "/rgb", interleaved(image), rgb->second, kJpegMost, kJpegMean, report);
    image = image_of(rgb->second);
  }
  for (const auto& [name, tensor] : expected) {
    compare(file + "/" + name, transformed(image, name, facts), tensor, 0.0, 0.0, report);
  }
}

}  // namespace

Outcome check_preprocess(const Case& golden, Report& report) {
  const io::SafetensorsFile expected(golden.folder() / "expected.safetensors");
  std::map<std::string, Tensors> by_file;
  for (const std::string& name : expected.names()) {
    const size_t slash = name.rfind('/');
    by_file[name.substr(0, slash)][name.substr(slash + 1)] = expected.tensor(name);
  }
  for (const auto& [file, facts] : golden.json().at("images").items()) {
    check_image(golden, file, by_file[file], report);
    by_file.erase(file);
  }
  for (const auto& [file, tensors] : by_file) report.expect(file + ": its image is listed", false);
  check_bad_images(golden, report);
  return {};
}

}  // namespace gear::golden
