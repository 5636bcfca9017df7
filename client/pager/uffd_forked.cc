#include "client/pager/uffd_forked.h"

#include <errno.h>
#include <sys/mman.h>

#include <algorithm>

#include "client/pager/uffd_abi.h"

namespace farswap::pager {
namespace {

// Goes on after what was done in part; `attempt(offset, bytes, &done)` runs one
// ioctl and returns its errno. The kernel says ENOENT of what was unmapped or
// moved just now, once, and EAGAIN then, until that is read; and of a range
// that is several mappings, which is done page by page.
template <typename Try>
OpResult GoOn(size_t bytes, Try&& attempt) {
  OpResult result;
  size_t most = bytes;
  bool absent = false;
  while (result.done < bytes) {
    const size_t wanted = std::min(most, bytes - result.done);
    int64_t done = 0;
    const int error = attempt(result.done, wanted, &done);
    if (error == 0) done = static_cast<int64_t>(wanted);
    if (done > 0) {
      result.done += static_cast<size_t>(done);
      absent = false;
    } else if (error == ENOENT && !absent) {
      absent = true;
    } else if (error == ENOENT && wanted > kPageBytes) {
      most = kPageBytes;
    } else {
      return {error, result.done};
    }
  }
  return result;
}

}  // namespace

OpResult UffdForked::CopyIn(char* to, const char* from, size_t bytes) {
  return GoOn(bytes, [&](size_t at, size_t size, int64_t* done) {
    uffdio_copy arg{U64(to + at), U64(from + at), size, 0, 0};
    const int error = Ioctl(fd_.get(), UFFDIO_COPY, &arg);
    *done = arg.copy;
    return error;
  });
}

OpResult UffdForked::ZeroFill(char* at, size_t bytes) {
  return GoOn(bytes, [&](size_t offset, size_t size, int64_t* done) {
    uffdio_zeropage arg{{U64(at + offset), size}, 0, 0};
    const int error = Ioctl(fd_.get(), UFFDIO_ZEROPAGE, &arg);
    *done = arg.zeropage;
    return error;
  });
}

OpResult UffdForked::Poison(char* at, size_t bytes) {
  return GoOn(bytes, [&](size_t offset, size_t size, int64_t* done) {
    PoisonArg arg{{U64(at + offset), size}, 0, 0};
    const int error = Ioctl(fd_.get(), kIoctlPoison, &arg);
    *done = arg.updated;
    return error;
  });
}

OpResult UffdForked::Wake(char* at, size_t bytes) {
  uffdio_range range{U64(at), bytes};
  const int error = Ioctl(fd_.get(), UFFDIO_WAKE, &range);
  return {error, error == 0 ? bytes : 0};
}

// The kernel looks for the mapping first, and then at the source, which nobody
// can read.
bool UffdForked::IsMapped(char* page) {
  static void* const unreadable =
      mmap(nullptr, kPageBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (unreadable == MAP_FAILED) return true;
  uffdio_copy arg{U64(page), U64(unreadable), kPageBytes, 0, 0};
  return Ioctl(fd_.get(), UFFDIO_COPY, &arg) != ENOENT;
}

}  // namespace farswap::pager
