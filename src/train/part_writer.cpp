#include "train/part_writer.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "gear/io/file_writer.h"
#include "gear/io/hash.h"

namespace gear::train {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

/// Hashed and written in pieces that stay in cache between the two.
constexpr size_t kPieceBytes = size_t{1} << 20;
/// So much is written between two syncs: the last one of a large file would take minutes.
constexpr uint64_t kMostUnsynced = uint64_t{256} << 20;

/// Writes one part; returns its SHA-256.
std::string write_part(io::FileWriter& file, const PlannedPart& part) {
  io::Sha256 hash;
  uint64_t position = part.offset;
  for (const Segment& segment : part.segments) {
    const Tensor values = segment.elements().to(at::kCPU).contiguous();
    std::string_view left(static_cast<const char*>(values.const_data_ptr()), values.nbytes());
    while (!left.empty()) {
      const std::string_view piece = left.substr(0, kPieceBytes);
      hash.add(piece);
      file.write_at(position, piece);
      position += piece.size();
      left.remove_prefix(piece.size());
    }
  }
  return hash.hex();
}

Json write_file(const fs::path& path, const PlannedFile& planned,
                const std::function<void()>& on_progress) {
  Json parts = Json::array();
  uint64_t unsynced = 0;
  if (!planned.parts.empty()) {
    io::FileWriter file(path, io::FileWriter::Open::kExisting);
    for (const PlannedPart& part : planned.parts) {
      parts.push_back({part.offset, part.bytes, write_part(file, part)});
      unsynced += part.bytes;
      if (unsynced >= kMostUnsynced) {
        file.sync();
        unsynced = 0;
      }
      on_progress();
    }
    file.sync();
    file.close();
  }
  return {{"head", io::sha256_of_bytes(planned.layout.head)}, {"parts", std::move(parts)}};
}

/// Appends the parts of `rank` to those of each file.
void add_parts(const SavePlan& plan, const Json& files, int64_t rank,
               std::vector<std::vector<WrittenPart>>& all) {
  TORCH_CHECK(files.size() == plan.size(), "checkpoint: rank ", rank, " saves ", files.size(),
              " groups, rank 0 ", plan.size());
  for (size_t i = 0; i < plan.size(); ++i) {
    TORCH_CHECK(files[i]["head"] == io::sha256_of_bytes(plan[i].layout.head), "checkpoint: rank ",
                rank, " has other tensors in ", plan[i].name(), " than rank 0");
    for (const Json& part : files[i]["parts"]) {
      all[i].push_back({.rank = rank, .offset = part[0], .bytes = part[1], .sha256 = part[2]});
    }
  }
}

void check_cover(const PlannedFile& file, std::vector<WrittenPart>& parts) {
  std::sort(parts.begin(), parts.end(),
            [](const WrittenPart& a, const WrittenPart& b) { return a.offset < b.offset; });
  uint64_t covered = file.layout.head.size();
  for (const WrittenPart& part : parts) {
    TORCH_CHECK(part.offset == covered, "checkpoint: ", file.name(), ": rank ", part.rank,
                " wrote from byte ", part.offset, ", expected from ", covered);
    covered += part.bytes;
  }
  TORCH_CHECK(covered == file.layout.bytes, "checkpoint: ", file.name(), ": written up to byte ",
              covered, " of ", file.layout.bytes);
}

}  // namespace

void create_files(const fs::path& folder, const SavePlan& plan) {
  for (const PlannedFile& planned : plan) {
    io::FileWriter file(folder / planned.name());
    file.write(planned.layout.head);
    file.resize(planned.layout.bytes);
    file.close();
  }
}

std::string write_parts(const fs::path& folder, const SavePlan& plan,
                        const std::function<void()>& on_progress) {
  Json files = Json::array();
  for (const PlannedFile& file : plan) {
    files.push_back(write_file(folder / file.name(), file, on_progress));
  }
  return files.dump();
}

std::vector<std::vector<WrittenPart>> join_parts(const SavePlan& plan,
                                                 const std::vector<std::string>& told) {
  std::vector<std::vector<WrittenPart>> all(plan.size());
  for (size_t rank = 0; rank < told.size(); ++rank) {
    add_parts(plan, Json::parse(told[rank]), static_cast<int64_t>(rank), all);
  }
  for (size_t i = 0; i < plan.size(); ++i) check_cover(plan[i], all[i]);
  return all;
}

}  // namespace gear::train
