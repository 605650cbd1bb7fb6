#include "gear/io/torch_archive.h"

#include <algorithm>
#include <cstring>
#include <unordered_set>

#include "gear/core/error.h"
#include "gear/io/mapped_file.h"
#include "gear/io/safetensors.h"
#include "io/advice.h"
#include "io/torch_storages.h"
#include "io/unpickler.h"
#include "io/walk_limits.h"
#include "io/zip_reader.h"

namespace gear::io {
namespace {

using Kind = PickleValue::Kind;

constexpr std::string_view kZipStart = "PK\x03\x04";
constexpr char kPickleStart = '\x80';
// 0x1950a86a20f9469cfc6c, the number that opens the older format, as a pickled long.
constexpr std::string_view kLegacyMagic = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
constexpr int64_t kLegacyProtocol = 1001;
constexpr std::string_view kPickleRecord = "/data.pkl";
constexpr size_t kMostFactBytes = 80;

/// The key under which `tensor` stands, for messages.
std::string name_of(const PickleTree& tree, const PickleValue& tensor) {
  for (const PickleValue& value : tree.values()) {
    for (const auto& [key, entry] : value.entries) {
      if (entry == &tensor && key->is(Kind::kString)) return key->text + ": ";
    }
  }
  return "";
}

void build_tensors(const StorageTable& storages, PickleTree& tree) {
  for (PickleValue& value : tree.values()) {
    if (!value.is(Kind::kTensor)) continue;
    try {
      storages.build(value);
    } catch (const Error& error) {
      fail(name_of(tree, value), error.what());
    }
  }
}

/// The folder of the archive: PyTorch names it after the file.
std::string root_folder(const ZipReader& zip, const std::string& path) {
  for (const auto& [name, record] : zip.records()) {
    if (name.ends_with(kPickleRecord) && name.find('/') == name.size() - kPickleRecord.size()) {
      return name.substr(0, name.find('/'));
    }
  }
  fail(path, ": the archive has no data.pkl, so it was not written by torch.save");
}

void check_byte_order(const ZipReader& zip, const std::string& path, const std::string& record) {
  if (!zip.contains(record)) return;  // written before PyTorch 2.1, always little-endian
  if (zip.bytes(zip.record(record)) != "little") {
    fail(path, ": holds big-endian data; save it again on a little-endian machine");
  }
}

const PickleValue* read_zip(const ZipReader& zip, const std::shared_ptr<const MappedFile>& file,
                            PickleTree& tree, bool check_values) {
  const std::string root = root_folder(zip, file->path());
  check_byte_order(zip, file->path(), root + "/byteorder");
  const auto pickle = zip.bytes(zip.record(root + std::string(kPickleRecord)));
  StorageTable storages(tree);
  const PickleValue* value = with_context(file->path(), [&] {
    Unpickler unpickler(tree, pickle, [&](PickleValue* id) { return storages.add(*id); });
    return unpickler.load();
  });
  for (auto& [key, entry] : storages.entries()) {
    const std::string name = root + "/data/" + key;
    const ZipRecord& record = check_values ? zip.record(name) : zip.unchecked_record(name);
    if (record.size < static_cast<uint64_t>(entry.bytes())) {
      fail(file->path(), ": record ", name, " has ", record.size, " bytes, but the storage needs ",
           entry.bytes());
    }
    with_context(file->path() + ": record " + name,
                 [&, &entry = entry] { place_storage(entry, file, record.begin); });
  }
  with_context(file->path(), [&] { build_tensors(storages, tree); });
  return value;
}

/// What the small records of the archive say.
TorchArchive::Facts facts_of(const ZipReader& zip, const std::string& path) {
  const std::string root = root_folder(zip, path);
  TorchArchive::Facts facts = {{"container", "zip, of PyTorch 1.6 or later"}};
  for (const auto& [record, label] :
       {std::pair("/version", "format version"), std::pair("/byteorder", "byte order"),
        std::pair("/.data/serialization_id", "serialization id")}) {
    const auto found = zip.records().find(root + record);
    if (found == zip.records().end() || found->second.deflated) continue;
    std::string text(zip.bytes(zip.record(found->first)));
    text.erase(std::min(text.find_last_not_of(" \n\r") + 1, text.size()));
    facts.emplace_back(label, text.substr(0, kMostFactBytes));
  }
  const bool checksums = zip.unchecked_record(root + std::string(kPickleRecord)).crc32 != 0;
  facts.emplace_back("checksums", checksums ? "CRC-32 of every record" : "left out by the writer");
  return facts;
}

/// The older stream: four pickles (magic number, protocol, machine, the value), a pickled list of
/// storage keys, then for each key its element count and its elements.
class LegacyReader {
 public:
  LegacyReader(std::shared_ptr<const MappedFile> file, PickleTree& tree)
      : file_(std::move(file)),
        tree_(tree),
        storages_(tree),
        unpickler_(tree, file_->bytes(), [this](PickleValue* id) { return storages_.add(*id); }) {}

  const PickleValue* read() {
    const PickleValue* magic = unpickler_.load();
    if (!magic->is(Kind::kBigInt) || magic->text != kLegacyMagic) {
      fail("begins with a pickle that does not hold the magic number of torch.save");
    }
    const PickleValue* protocol = unpickler_.load();
    if (!protocol->is(Kind::kInt) || protocol->integer != kLegacyProtocol) {
      fail("has an unknown version of the format before PyTorch 1.6");
    }
    const PickleValue* little_endian = unpickler_.load()->find("little_endian");
    if (little_endian == nullptr || !little_endian->is(Kind::kBool) ||
        little_endian->integer == 0) {
      fail("does not say that its data is little-endian; save it again on such a machine");
    }
    const PickleValue* value = unpickler_.load();
    read_storages();
    build_tensors(storages_, tree_);
    return value;
  }

 private:
  void read_storages() {
    const PickleValue* keys = unpickler_.load();
    if (!keys->is(Kind::kList)) fail("has ", describe(*keys), " where storage keys are expected");
    uint64_t at = unpickler_.position();
    for (const PickleValue* key : keys->items) {
      const auto found = storages_.entries().find(key->text);
      if (found == storages_.entries().end()) {
        fail("lists storage ", key->text, ", which nothing describes");
      }
      at = read_storage(key->text, found->second, at);
    }
    for (const auto& [key, entry] : storages_.entries()) {
      if (!entry.is_placed()) fail("storage ", key, " is missing");
    }
  }

  /// Reads one storage at `at` and returns where the next one begins.
  uint64_t read_storage(const std::string& key, StorageEntry& entry, uint64_t at) {
    int64_t count = 0;
    const uint64_t left = file_->size() - at;
    if (left < sizeof count) {
      fail("ends before storage ", key, "; it is truncated, fetch or copy it again");
    }
    std::memcpy(&count, file_->data() + at, sizeof count);
    if (count != entry.count) {
      fail("storage ", key, " has ", count, " elements, the pickle says ", entry.count);
    }
    if (left - sizeof count < static_cast<uint64_t>(entry.bytes())) {
      fail("ends within storage ", key, "; it is truncated, fetch or copy it again");
    }
    with_context("storage " + key, [&] { place_storage(entry, file_, at + sizeof count); });
    return at + sizeof count + static_cast<uint64_t>(entry.bytes());
  }

  std::shared_ptr<const MappedFile> file_;
  PickleTree& tree_;
  StorageTable storages_;
  Unpickler unpickler_;
};

const PickleValue* read_legacy(const std::shared_ptr<const MappedFile>& file, PickleTree& tree) {
  return with_context(file->path(), [&] { return LegacyReader(file, tree).read(); });
}

/// Walks dictionaries, lists and tuples.
class TensorCollector {
 public:
  PickledTensors collect(const PickleValue& root) {
    visit(root, "", 0);
    return std::move(tensors_);
  }

 private:
  void visit(const PickleValue& value, const std::string& name, int depth) {
    limits_.count(depth, name);
    if (value.is(Kind::kTensor)) tensors_.emplace_back(name, value.tensor);
    if (value.is(Kind::kDict)) visit_entries(value, name, depth);
    if (value.is(Kind::kList) || value.is(Kind::kTuple)) {
      for (size_t i = 0; i < value.items.size(); ++i) {
        visit(*value.items[i], join(name, std::to_string(i)), depth + 1);
      }
    }
  }

  void visit_entries(const PickleValue& dict, const std::string& name, int depth) {
    std::unordered_set<std::string> seen;
    std::vector<std::pair<std::string, const PickleValue*>> kept;
    for (auto entry = dict.entries.rbegin(); entry != dict.entries.rend(); ++entry) {
      const PickleValue& key = *entry->first;
      if (!key.is(Kind::kString) && !key.is(Kind::kInt)) continue;
      std::string text = key.is(Kind::kInt) ? std::to_string(key.integer) : key.text;
      if (seen.insert(text).second) kept.emplace_back(std::move(text), entry->second);
    }
    for (auto entry = kept.rbegin(); entry != kept.rend(); ++entry) {
      visit(*entry->second, join(name, entry->first), depth + 1);
    }
  }

  static std::string join(const std::string& name, const std::string& key) {
    return name.empty() ? key : name + "/" + key;
  }

  PickledTensors tensors_;
  WalkLimits limits_;
};

}  // namespace

TorchArchive::TorchArchive(const std::filesystem::path& path, const TorchArchiveOptions& options)
    : path_(path.string()) {
  const auto file = MappedFile::open(path);
  tree_ = std::make_shared<PickleTree>(file->size());
  if (file->bytes().starts_with(kZipStart)) {
    with_advice([&] {
      const ZipReader zip(file);
      root_ = read_zip(zip, file, *tree_, options.check_values);
      facts_ = facts_of(zip, path_);
    });
  } else if (recognises(*file)) {
    root_ = with_advice([&] { return read_legacy(file, *tree_); });
    facts_ = {{"container", "stream of pickles, of PyTorch before 1.6"}, {"checksums", "none"}};
  } else {
    fail(path_, ": is not a file of torch.save");
  }
}

bool TorchArchive::recognises(const MappedFile& file) {
  if (SafetensorsFile::recognises(file)) return false;
  return file.bytes().starts_with(kZipStart) || (file.size() > 1 && file.data()[0] == kPickleStart);
}

PickledTensors collect_tensors(const PickleValue& root) { return TensorCollector().collect(root); }

}  // namespace gear::io
