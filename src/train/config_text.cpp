#include "gear/train/config_text.h"

#include "gear/config/text.h"

namespace gear::train {

std::string config_text(const RunConfig& config, bool with_help) {
  return config::dump(config, with_help);
}

RunConfig config_of_text(const std::string& yaml, const std::string& source,
                         const std::vector<std::string>& overrides) {
  config::Node tree = config::parse_tree(yaml, source);
  for (const std::string& assignment : overrides) config::apply_override(tree, assignment);
  return config::read<RunConfig>(tree);
}

}  // namespace gear::train
