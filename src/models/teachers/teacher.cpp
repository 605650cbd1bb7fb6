#include "gear/models/teachers/teacher.h"

#include <algorithm>
#include <functional>
#include <string_view>

#include "gear/core/text.h"
#include "models/teachers/families.h"

namespace gear::models {
namespace {

/// Names the place of a key at the start of a message.
using Place = std::function<std::string(const char* key)>;

std::string default_place(const char* key) { return std::string("teacher.") + key + ": "; }

struct Selected {
  const TeacherFamily* family = nullptr;
  TeacherChoice choice;
};

/// "a, b" -> {"a", "b"}; the blanks around an item are removed.
std::vector<std::string> split_list(const std::string& text) {
  std::vector<std::string> items;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    const std::string item = text.substr(begin, end - begin);
    const size_t first = item.find_first_not_of(' ');
    items.push_back(first == std::string::npos
                        ? ""
                        : item.substr(first, item.find_last_not_of(' ') - first + 1));
    begin = end + 1;
  }
  return items;
}

/// "dinov2-vit-{s,b,l,g}, ..., dinov2-custom"
std::string all_names() {
  std::vector<std::string> names;
  for (const TeacherFamily& family : teacher_families()) {
    const std::string sizes = join(family.sizes, ",");
    names.push_back(family.prefix + (family.sizes.size() == 1 ? sizes : "{" + sizes + "}"));
  }
  return join(names);
}

[[noreturn]] void fail_unknown(const std::string& model, const Place& place) {
  std::vector<std::string> names;
  for (const TeacherFamily& family : teacher_families()) {
    for (const std::string& size : family.sizes) names.push_back(family.prefix + size);
  }
  const std::string near = nearest_name(model, names);
  fail(place("model"), "must be one of ", all_names(),
       ", or several of them separated by commas, got ", model,
       near.empty() ? "" : "; did you mean " + near + "?");
}

/// The family and size of one teacher; fails when there is none of this name.
Selected find_teacher(const TeacherConfig& config, const Place& place) {
  for (const TeacherFamily& family : teacher_families()) {
    if (!config.model.starts_with(family.prefix)) continue;
    const std::string size = config.model.substr(std::string_view(family.prefix).size());
    if (std::find(family.sizes.begin(), family.sizes.end(), size) != family.sizes.end()) {
      return {.family = &family, .choice = {.config = config, .size = size}};
    }
  }
  fail_unknown(config.model, place);
}

/// find_teacher with every rule between the keys of one teacher checked.
Selected select(const TeacherConfig& config, const Place& place) {
  Selected selected = find_teacher(config, place);
  const bool custom = selected.choice.size.empty();
  if (custom && config.custom_dim % config.custom_heads != 0) {
    fail(place("custom_heads"), "must divide custom_dim (", config.custom_dim, "), got ",
         config.custom_heads);
  }
  const int64_t depth = selected.family->depth(selected.choice);
  if (config.layer == 0 || config.layer > depth) {
    fail(place("layer"), "must be -1 or a block from 1 to ", depth, " of ", config.model, ", got ",
         config.layer);
  }
  return selected;
}

std::vector<TeacherConfig> split(const TeacherConfig& config, const Place& place) {
  const auto models = split_list(config.model);
  if (models.size() == 1) return {config};
  const auto files =
      config.weights.empty() ? std::vector<std::string>(models.size()) : split_list(config.weights);
  if (files.size() != models.size()) {
    fail(place("weights"), "must name one file for each of the ", models.size(),
         " teachers, separated by commas (nothing in a place: random weights), got ", files.size());
  }
  std::vector<TeacherConfig> singles(models.size(), config);
  for (size_t i = 0; i < models.size(); ++i) {
    singles[i].model = models[i];
    singles[i].weights = files[i];
  }
  return singles;
}

/// "256", "256 or 512", "256, 512 or 1024"
std::string alternatives(const std::vector<int64_t>& values) {
  std::string text;
  for (size_t i = 0; i < values.size(); ++i) {
    if (i > 0) text += i + 1 == values.size() ? " or " : ", ";
    text += std::to_string(values[i]);
  }
  return text;
}

void check_images(const TeacherConfig& config, int64_t image_size, int64_t grid,
                  const config::Where& at) {
  constexpr int64_t kPixelsPerFeature = 16;  // of every family with its own image sizes
  const auto& sizes = select(config, default_place).family->image_sizes;
  if (sizes.empty()) return;
  if (std::find(sizes.begin(), sizes.end(), image_size) == sizes.end()) {
    fail(at("data.image_size"), "must be ", alternatives(sizes), " for the teacher ", config.model,
         ", got ", image_size);
  }
  if (image_size != grid * kPixelsPerFeature) {
    fail(at("teacher.model"), config.model, " has one feature for ", kPixelsPerFeature, " x ",
         kPixelsPerFeature, " pixels, but a token of the tokenizer covers ", image_size / grid,
         " x ", image_size / grid, "; change tokenizer.ch_mult, or take a dinov2 teacher");
  }
}

}  // namespace

const char* teacher_model_help() {
  static const std::string help =
      "Encoder, or several separated by commas: " + all_names() + " (see custom_*).";
  return help.c_str();
}

void TeacherConfig::check(const config::Where& at) const {
  const Place place = [&](const char* key) { return at(key); };
  for (const TeacherConfig& single : split(*this, place)) select(single, place);
}

std::vector<TeacherConfig> single_teachers(const TeacherConfig& config) {
  return split(config, default_place);
}

std::shared_ptr<Teacher> make_teacher(const TeacherConfig& config, int64_t grid) {
  Selected selected = select(config, default_place);
  selected.choice.grid = grid;
  auto teacher = selected.family->make(selected.choice);
  teacher->eval();
  for (auto& parameter : teacher->parameters()) parameter.set_requires_grad(false);
  return teacher;
}

std::string missing_weights_notice(const TeacherConfig& config) {
  if (!config.weights.empty()) return "";
  const Selected selected = select(config, default_place);
  const std::string start = "teacher.weights is empty, so the teacher " + config.model +
                            " has random weights and its features mean nothing; ";
  const std::string file = selected.family->weight_file(selected.choice);
  if (file.empty()) {
    return start +
           "that serves tests and first runs; for results set teacher.model to dinov2-vit-b and "
           "teacher.weights to the path of dinov2_vitb14_pretrain.pth from the official DINOv2 "
           "release (github.com/facebookresearch/dinov2)";
  }
  return start + "download " + file + " from " + selected.family->origin +
         " and set teacher.weights to its path";
}

void check_teacher_images(const TeacherConfig& config, int64_t image_size, int64_t grid,
                          const config::Where& at) {
  for (const TeacherConfig& single : split(config, default_place)) {
    check_images(single, image_size, grid, at);
  }
}

}  // namespace gear::models
