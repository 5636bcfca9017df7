#include "tests/chaos/pool_damage.h"

#include <fcntl.h>
#include <unistd.h>

#include <filesystem>

#include "common/units.h"

namespace farswap::chaos {
namespace {

namespace fs = std::filesystem;

// The pool's header, which no folio is in.
constexpr uint64_t kHeaderBytes = kClusterBytes;
constexpr int kFlips = 256;

}  // namespace

void PoolDamage::FlipBytes(std::mt19937_64* random) const {
  const uint64_t size = fs::file_size(pool_);
  const int fd = open(pool_.c_str(), O_RDWR | O_CLOEXEC);
  for (int i = 0; i < kFlips && size > kHeaderBytes; ++i) {
    // Where there is something: what is not granted has no backing, and is
    // not to get any.
    const uint64_t any = kHeaderBytes + (*random)() % (size - kHeaderBytes);
    const off_t at = lseek(fd, static_cast<off_t>(any), SEEK_DATA);
    char byte = 0;
    if (at < 0 || pread(fd, &byte, 1, at) != 1) continue;
    byte = static_cast<char>(byte ^ 0x10);
    if (pwrite(fd, &byte, 1, at) != 1) break;
  }
  close(fd);
}

void PoolDamage::Save() {
  fs::copy_file(pool_, copy(), fs::copy_options::overwrite_existing);
  saved_ = true;
}

const char* PoolDamage::Lose(std::mt19937_64* random) const {
  switch ((*random)() % (saved_ ? 3 : 2)) {
    case 0:
      fs::remove(pool_);
      return "removed";
    case 1:
      fs::resize_file(
          pool_, AlignDown((*random)() % fs::file_size(pool_), kPageBytes));
      return "truncated";
    default:
      fs::copy_file(copy(), pool_, fs::copy_options::overwrite_existing);
      return "an older copy";
  }
}

}  // namespace farswap::chaos
