// Kind `preprocess`: decoding of image files and the deterministic parts of the transforms.

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

at::Tensor planar(const io::Image& image, const Window& window, bool mirrored) {
  at::Tensor planes = at::empty({3, window.height, window.width}, at::kByte);
  data::copy_planar(image, window, mirrored, planes.data_ptr<uint8_t>());
  return planes;
}

/// The window of the image with its short side scaled to the crop's side, as the loader cuts it.
at::Tensor scaled_crop(const io::Image& image, Filter filter, const Window& window, bool mirrored) {
  const auto size = data::short_side_size({image.height, image.width}, window.height);
  const auto crop = data::resize_window(image, size.height, size.width, filter, window);
  return planar(crop, {0, 0, crop.height, crop.width}, mirrored);
}

Window centre(const io::Image& image, int64_t side) {
  return data::centre_crop(data::short_side_size({image.height, image.width}, side), side);
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

/// What `name` (the part after "<file>/") says, computed from the decoded picture; an undefined
/// tensor for a name of no known form.
at::Tensor transformed(const io::Image& image, const std::string& name,
                       const nlohmann::json& facts) {
  if (name == "rgb") return interleaved(image);
  if (name.starts_with("adm"))
    return interleaved(data::adm_centre_crop(image, std::stoll(name.substr(3))));
  if (name.starts_with("val")) {
    const auto [side, mode] = split_side(name.substr(3));
    const auto filter = filter_named(mode);
    if (!filter) return {};
    return scaled_crop(image, *filter, centre(image, side), false);
  }
  if (!name.starts_with("train")) return {};
  const auto [side, rest] = split_side(name.substr(5));
  if (rest == "resized")
    return io::to_tensor(data::resize_short_side(image, side, Filter::kBicubic));
  const auto& crop = facts.at(name);
  const Window window{crop.at("top"), crop.at("left"), side, side};
  return scaled_crop(image, Filter::kBicubic, window, crop.at("flip"));
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

}  // namespace

Outcome check_preprocess(const Case& golden, Report& report) {
  const io::SafetensorsFile expected(golden.folder() / "expected.safetensors");
  const auto& images = golden.json().at("images");
  std::map<std::string, io::Image> decoded;
  for (const auto& [file, facts] : images.items()) {
    decoded[file] = io::read_image(golden.folder() / "images" / file);
    check_decoded(file, facts, decoded[file], report);
  }
  for (const std::string& full_name : expected.names()) {
    const size_t slash = full_name.rfind('/');
    const std::string file = full_name.substr(0, slash);
    const bool known = decoded.contains(file);
    report.expect(full_name + ": its image is listed", known);
    if (!known) continue;
    const auto found = transformed(decoded[file], full_name.substr(slash + 1), images.at(file));
    report.expect(full_name, found.defined() && found.equal(expected.tensor(full_name)));
  }
  check_bad_images(golden, report);
  return {};
}

}  // namespace gear::golden
