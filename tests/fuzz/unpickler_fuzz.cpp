#include "fuzz/targets.h"
#include "io/torch_storages.h"
#include "io/unpickler.h"

namespace gear::fuzz {

void unpickler(std::string_view bytes) {
  io::PickleTree tree(bytes.size());
  io::StorageTable storages(tree);
  io::Unpickler reader(tree, bytes, [&](io::PickleValue* id) { return storages.add(*id); });
  while (reader.position() < bytes.size()) {
    const io::PickleValue* value = reader.load();
    expect(!io::describe(*value).empty(), "every value has a name for messages");
  }
}

}  // namespace gear::fuzz
