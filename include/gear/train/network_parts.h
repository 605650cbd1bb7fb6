#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "gear/io/torch_archive.h"
#include "gear/io/weights.h"

namespace gear::train {

/// Checkpoint groups of networks: "tokenizer", "tokenizer_ema", "ar", "ar_ema", "projector",
/// "discriminator".
const std::vector<std::string>& network_groups();
bool is_network_group(const std::string& group);

/// The networks of a weight file that is no checkpoint of gear.
struct NetworkParts {
  /// By their groups. Tensors that none of them is known by stand under "".
  std::map<std::string, io::TensorMap> networks;
  /// The file itself when it is one of torch.save, for what else it holds; otherwise empty.
  std::shared_ptr<const io::TorchArchive> archive;

  bool contains(const std::string& group) const { return networks.contains(group); }
};

/// Reads a weight file of any format that io::load_tensors takes. What a network is follows from
/// its tensors, whether it is the average from the key it stands under: `vq`, `vq_ema`, `ar`,
/// `ema`, `projectors`, `discriminator` of the Python reference's training files, `model` and `ema`
/// of LlamaGen's, `state_dict` of Lightning's (averaged weights where it has them), bare maps; or
/// the folder it stands in, of those that `gear convert` writes for several networks.
NetworkParts read_network_parts(const std::filesystem::path& path);

/// The network that tensors of such names belong to: "tokenizer", "ar", "projector",
/// "discriminator", or "" when it is none of these.
std::string network_of(const io::TensorMap& tensors);

}  // namespace gear::train
