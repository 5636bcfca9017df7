#include "client/pager/uffd_forked.h"

#include <errno.h>
#include <unistd.h>

#include "client/pager/uffd_abi.h"

namespace farswap::pager {
namespace {

// Goes on after what was done in part; `attempt(offset, &done)` runs one ioctl
// for the rest and returns its errno. Of what was unmapped or moved just now
// the kernel says ENOENT once, and EAGAIN then, until that is read.
template <typename Try>
OpResult GoOn(size_t bytes, Try&& attempt) {
  OpResult result;
  bool absent = false;
  while (result.done < bytes) {
    int64_t done = 0;
    const int error = attempt(result.done, &done);
    if (error == 0) return {0, bytes};
    if (error == ENOENT && !absent) {
      absent = true;
      continue;
    }
    if (done <= 0) return {error, result.done};
    result.done += static_cast<size_t>(done);
  }
  return result;
}

}  // namespace

UffdForked::~UffdForked() {
  if (fd_ >= 0) close(fd_);
}

OpResult UffdForked::CopyIn(char* to, const char* from, size_t bytes) {
  return GoOn(bytes, [&](size_t at, int64_t* done) {
    uffdio_copy arg{U64(to + at), U64(from + at), bytes - at, 0, 0};
    const int error = Ioctl(fd_, UFFDIO_COPY, &arg);
    *done = arg.copy;
    return error;
  });
}

OpResult UffdForked::ZeroFill(char* at, size_t bytes) {
  return GoOn(bytes, [&](size_t offset, int64_t* done) {
    uffdio_zeropage arg{{U64(at + offset), bytes - offset}, 0, 0};
    const int error = Ioctl(fd_, UFFDIO_ZEROPAGE, &arg);
    *done = arg.zeropage;
    return error;
  });
}

OpResult UffdForked::Poison(char* at, size_t bytes) {
  return GoOn(bytes, [&](size_t offset, int64_t* done) {
    PoisonArg arg{{U64(at + offset), bytes - offset}, 0, 0};
    const int error = Ioctl(fd_, kIoctlPoison, &arg);
    *done = arg.updated;
    return error;
  });
}

OpResult UffdForked::Wake(char* at, size_t bytes) {
  uffdio_range range{U64(at), bytes};
  const int error = Ioctl(fd_, UFFDIO_WAKE, &range);
  return {error, error == 0 ? bytes : 0};
}

}  // namespace farswap::pager
