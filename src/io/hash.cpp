#include "gear/io/hash.h"

#include <c10/util/Exception.h>
#include <fcntl.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <limits>
#include <vector>

#include "gear/core/error.h"
#include "gear/io/file_calls.h"

namespace gear::io {
namespace {

/// A file that is read in pieces.
class PieceReader {
 public:
  explicit PieceReader(const std::filesystem::path& path)
      : path_(path.string()),
        descriptor_(file_calls().open(path.c_str(), O_RDONLY | O_CLOEXEC, 0)) {
    if (descriptor_ < 0) fail(path_, ": cannot open: ", std::strerror(errno));
  }
  ~PieceReader() { file_calls().close(descriptor_); }
  PieceReader(const PieceReader&) = delete;
  PieceReader& operator=(const PieceReader&) = delete;

  /// At most `most` bytes from `offset` on; none at the end of the file.
  std::string_view read(uint64_t offset, uint64_t most) {
    const size_t wanted = static_cast<size_t>(std::min<uint64_t>(most, buffer_.size()));
    ssize_t count = -1;
    do {
      count = file_calls().read_at(descriptor_, buffer_.data(), wanted, static_cast<off_t>(offset));
    } while (count < 0 && errno == EINTR);
    if (count < 0) fail(path_, ": cannot read: ", std::strerror(errno));
    return {buffer_.data(), static_cast<size_t>(count)};
  }

 private:
  std::string path_;
  int descriptor_;
  std::vector<char> buffer_ = std::vector<char>(1 << 20);
};

}  // namespace

struct Sha256::Context {
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> digest{EVP_MD_CTX_new(),
                                                                 &EVP_MD_CTX_free};
};

Sha256::Sha256() : context_(std::make_unique<Context>()) {
  auto* digest = context_->digest.get();
  TORCH_CHECK(digest != nullptr && EVP_DigestInit_ex(digest, EVP_sha256(), nullptr) == 1,
              "OpenSSL offers no SHA-256");
}

Sha256::~Sha256() = default;

void Sha256::add(const void* data, size_t bytes) {
  TORCH_CHECK(EVP_DigestUpdate(context_->digest.get(), data, bytes) == 1, "SHA-256 update failed");
}

std::string Sha256::hex() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int length = 0;
  TORCH_CHECK(EVP_DigestFinal_ex(context_->digest.get(), digest.data(), &length) == 1,
              "SHA-256 final failed");
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (unsigned int i = 0; i < length; ++i) {
    text += kDigits[digest[i] >> 4];
    text += kDigits[digest[i] & 15];
  }
  return text;
}

std::string sha256_of_bytes(std::string_view bytes) {
  Sha256 hash;
  hash.add(bytes);
  return hash.hex();
}

std::string sha256_of_file(const std::filesystem::path& path) {
  PieceReader file(path);
  Sha256 hash;
  uint64_t offset = 0;
  while (true) {
    const auto piece = file.read(offset, std::numeric_limits<uint64_t>::max());
    if (piece.empty()) return hash.hex();
    hash.add(piece);
    offset += piece.size();
  }
}

std::string sha256_of_range(const std::filesystem::path& path, uint64_t offset, uint64_t bytes) {
  PieceReader file(path);
  Sha256 hash;
  const uint64_t end = offset + bytes;
  while (offset < end) {
    const auto piece = file.read(offset, end - offset);
    if (piece.empty()) fail(path.string(), ": ends at byte ", offset, ", before byte ", end);
    hash.add(piece);
    offset += piece.size();
  }
  return hash.hex();
}

}  // namespace gear::io
