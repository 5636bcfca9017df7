// Files by io_uring, from far memory and into it.
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstring>
#include <vector>

#include "tests/client/launcher/pager/program.h"
#include "tests/client/launcher/pager/ring.h"

namespace farswap::program {
namespace {

constexpr size_t kStep = size_t{1} << 20;
constexpr size_t kBuffers = 4;

int OpenFile(int flags) {
  char path[] = "/var/tmp/farswap-uring-XXXXXX";
  const int file = mkostemp(path, flags);
  if (file >= 0) unlink(path);
  return file;
}

// `bytes` between the file and `at`, several operations at a time. While they
// are under way all of `memory` is looked at, so that pages go out.
bool Transfer(Ring* ring, int file, bool write, char* at, size_t bytes,
              const Memory& memory) {
  for (size_t done = 0; done < bytes;) {
    for (uint32_t i = 0; i < Ring::kEntries && done < bytes; ++i) {
      ring->Add(write, file, at + done, kStep, done, /*buffer=*/-1);
      done += kStep;
    }
    if (!ring->Submit()) return false;
    const size_t half = memory.words() / 2;
    if (!memory.IsRight(0, 0, half) || !ring->Await(kStep)) return false;
  }
  return true;
}

int Compare(const Memory& memory) {
  const char* const at = reinterpret_cast<const char*>(memory.data());
  const size_t half = memory.bytes() / 2;
  const bool right = memory.IsRight(0, 0, memory.words() / 2) &&
                     std::memcmp(at, at + half, half) == 0;
  return right ? kRight : kWrong;
}

}  // namespace

int Uring(size_t mib, int flags, bool polled) {
  Memory memory(mib);
  memory.Fill(0);
  const int file = OpenFile(flags);
  Ring ring(polled);
  if (file < 0 || !ring.valid()) return kCannot;
  const size_t half = memory.bytes() / 2;
  char* const at = reinterpret_cast<char*>(memory.data());
  if (!Transfer(&ring, file, /*write=*/true, at, half, memory) ||
      !Transfer(&ring, file, /*write=*/false, at + half, half, memory)) {
    return kCannot;
  }
  return Compare(memory);
}

int UringFixed(size_t mib) {
  Memory memory(mib);
  memory.Fill(0);
  Memory window(kBuffers);
  const int file = OpenFile(O_DIRECT);
  Ring ring(/*polled=*/false);
  if (file < 0 || !ring.valid()) return kCannot;
  char* const buffers = reinterpret_cast<char*>(window.data());
  std::vector<iovec> parts;
  for (size_t i = 0; i < kBuffers; ++i) {
    parts.push_back({buffers + i * kStep, kStep});
  }
  if (!ring.Register(parts)) return kCannot;
  char* const at = reinterpret_cast<char*>(memory.data());
  const size_t half = memory.bytes() / 2;
  for (const bool write : {true, false}) {
    for (size_t done = 0; done < half; done += kStep) {
      const size_t i = done / kStep % kBuffers;
      char* const buffer = buffers + i * kStep;
      if (write) std::memcpy(buffer, at + done, kStep);
      ring.Add(write, file, buffer, kStep, done, static_cast<int>(i));
      if (!ring.Submit() || !ring.Await(kStep)) return kCannot;
      if (!write) std::memcpy(at + half + done, buffer, kStep);
    }
  }
  return Compare(memory);
}

}  // namespace farswap::program
