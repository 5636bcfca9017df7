// UffdProcess: what is asked of the process's map, and its protection.
#include <errno.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "client/pager/uffd_abi.h"
#include "client/pager/uffd_process.h"
#include "client/pager/uffd_repeat.h"

namespace farswap::pager {
namespace {

// Of some 1 us each; a mapping takes some ten.
constexpr int kMostProbes = 8192;

// Of a word of /proc/PID/pagemap.
constexpr uint64_t kPresentBit = uint64_t{1} << 63;
constexpr uint64_t kProtectedBit = uint64_t{1} << 57;
constexpr uint64_t kExclusiveBit = uint64_t{1} << 56;
constexpr uint64_t kFrameBits = (uint64_t{1} << 55) - 1;

bool IsShared(uint64_t word) {
  return (word & kPresentBit) != 0 && (word & kExclusiveBit) == 0;
}

}  // namespace

// Whether or not it was forked while it was paged for: it may share since
// before that. What cannot be known is absent.
Residents UffdProcess::LookAt(const char* at, size_t pages) {
  uint64_t words[kPagesPerPmd];
  Residents found;
  if (!ReadPagemap(at, pages, words)) return found;
  for (size_t i = 0; i < pages; ++i) {
    found.present[i] = (words[i] & kPresentBit) != 0;
    found.shared[i] = IsShared(words[i]);
    const uint64_t frame = words[i] & kFrameBits;
    found.names[i] = frame != 0 ? frame : U64(at) / kPageBytes + i;
  }
  if (found.shared.none()) return found;
  const char* const end = at + pages * kPageBytes;
  const char* zero = at;
  while ((zero = FirstOfKernelsZeros(zero, end)) != end) {
    found.present.reset(static_cast<size_t>(zero - at) / kPageBytes);
    zero += kPageBytes;
  }
  found.shared &= found.present;
  return found;
}

bool UffdProcess::ReadPagemap(const char* at, size_t pages,
                              uint64_t* words) const {
  const size_t bytes = pages * sizeof(*words);
  const auto offset = static_cast<off_t>(U64(at) / kPageBytes * sizeof(*words));
  return pread(pagemap_fd(), words, bytes, offset) ==
         static_cast<ssize_t>(bytes);
}

absl::Status UffdProcess::RegisterAll(char* at, size_t bytes) {
  return RegisterAs(at, bytes,
                    UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP);
}

// The kernel looks for one registered mapping with all of the range before it
// sees that it is none that pages can be continued in.
int UffdProcess::ProbeRegistered(char* at, size_t bytes) {
  uffdio_continue arg{{U64(at), bytes}, 0, 0};
  return Ioctl(fd(), UFFDIO_CONTINUE, &arg);
}

bool UffdProcess::FindUnregistered(char* at, size_t bytes,
                                   std::vector<AddressRange>* found) {
  bool known = true;
  std::vector<AddressRange> left = {{at, at + bytes}};  // The first is last.
  for (int probes = 0; !left.empty(); ++probes) {
    const auto [start, end] = left.back();
    left.pop_back();
    const auto pages = static_cast<size_t>(end - start) / kPageBytes;
    const int error = probes < kMostProbes
                          ? ProbeRegistered(start, pages * kPageBytes)
                          : EAGAIN;
    if (error == EINVAL) continue;
    if (error == ENOENT && pages > 1) {
      char* const middle = start + pages / 2 * kPageBytes;
      left.emplace_back(middle, end);
      left.emplace_back(start, middle);
      continue;
    }
    known &= error == ENOENT;
    if (!found->empty() && found->back().second == start) {
      found->back().second = end;
    } else {
      found->emplace_back(start, end);
    }
  }
  return known;
}

// Behind the gate: what it finds changed was read, and is pending.
bool UffdProcess::FindUnmapped(char* at, size_t bytes,
                               std::vector<AddressRange>* unmapped) {
  const MapEvents::Operation operation(&events_, at, bytes);
  return FindUnregistered(at, bytes, unmapped);
}

// Not fenced by the events that are read: it neither brings nor takes a page.
bool UffdProcess::SetProtection(char* at, size_t bytes, uint64_t mode) {
  uffdio_writeprotect arg{{U64(at), bytes}, mode};
  for (int turn = 0; turn < kUnreadTurns; ++turn) {
    const int error = Ioctl(fd(), UFFDIO_WRITEPROTECT, &arg);
    if (error != EAGAIN) return error == 0;
    std::this_thread::sleep_for(kUnreadPause);
  }
  return false;
}

bool UffdProcess::Protect(char* at, size_t bytes) {
  return SetProtection(at, bytes, UFFDIO_WRITEPROTECT_MODE_WP);
}

bool UffdProcess::Unprotect(char* at, size_t bytes) {
  return SetProtection(at, bytes, 0);
}

bool UffdProcess::IsProtected(const char* at) {
  uint64_t word = 0;
  return ReadPagemap(at, 1, &word) && (word & kProtectedBit) != 0;
}

UffdProcess::SharedPages UffdProcess::CountShared(const char* at,
                                                  const char* end) const {
  uint64_t words[kPagesPerPmd];
  SharedPages count;
  const size_t pages = std::min<size_t>(
      kPagesPerPmd, static_cast<size_t>(end - at) / kPageBytes);
  if (!ReadPagemap(at, pages, words)) return count;
  for (size_t i = 0; i < pages; ++i) {
    if (!IsShared(words[i])) continue;
    ++((words[i] & kProtectedBit) != 0 ? count.guarded : count.open);
  }
  return count;
}

}  // namespace farswap::pager
