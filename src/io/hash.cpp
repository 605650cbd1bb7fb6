#include "gear/io/hash.h"

#include <c10/util/Exception.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <vector>

#include "gear/core/error.h"

namespace gear::io {
namespace {

class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new(), &EVP_MD_CTX_free) {
    TORCH_CHECK(context_ && EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1,
                "OpenSSL offers no SHA-256");
  }

  void add(const void* data, size_t bytes) {
    TORCH_CHECK(EVP_DigestUpdate(context_.get(), data, bytes) == 1, "SHA-256 update failed");
  }

  std::string hex() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned int length = 0;
    TORCH_CHECK(EVP_DigestFinal_ex(context_.get(), digest.data(), &length) == 1,
                "SHA-256 final failed");
    static constexpr char kDigits[] = "0123456789abcdef";
    std::string text;
    for (unsigned int i = 0; i < length; ++i) {
      text += kDigits[digest[i] >> 4];
      text += kDigits[digest[i] & 15];
    }
    return text;
  }

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

}  // namespace

std::string sha256_of_bytes(std::string_view bytes) {
  Sha256 hash;
  hash.add(bytes.data(), bytes.size());
  return hash.hex();
}

std::string sha256_of_file(const std::filesystem::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) fail(path.string(), ": cannot open: ", std::strerror(errno));
  Sha256 hash;
  std::vector<char> buffer(1 << 20);
  ssize_t count = 0;
  int error = 0;
  do {
    count = ::read(descriptor, buffer.data(), buffer.size());
    if (count > 0) hash.add(buffer.data(), static_cast<size_t>(count));
    error = count < 0 ? errno : 0;
  } while (count > 0 || error == EINTR);
  ::close(descriptor);
  if (error != 0) fail(path.string(), ": cannot read: ", std::strerror(error));
  return hash.hex();
}

}  // namespace gear::io
