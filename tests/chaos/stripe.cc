#include "tests/chaos/stripe.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <shared_mutex>

#include "tests/chaos/guarded.h"
#include "tests/client/pager/stamped_page.h"

namespace farswap::chaos {
namespace {

// More than these say nothing new.
constexpr uint64_t kSaid = 20;

bool IsZeroPage(const char* page) {
  static const char zeros[kPageBytes] = {};
  return std::memcmp(page, zeros, kPageBytes) == 0;
}

bool Is(const char* page, const Expected& expected) {
  if (expected.stamp == 0) return IsZeroPage(page);
  return pager::PageIs(page, expected.stamp) ||
         (expected.freed && IsZeroPage(page));
}

const char* NameOf(const char* page, const Expected& expected) {
  if (IsZeroPage(page)) return "zeros";
  if (expected.old != 0 && pager::PageIs(page, expected.old)) {
    return "what it was before";
  }
  return "something else";
}

// The first word that is not the stamp's.
uint64_t FirstWrong(const char* page, uint64_t stamp) {
  const auto* words = reinterpret_cast<const uint64_t*>(page);
  for (uint64_t i = 0; i < kPageBytes / 8; ++i) {
    const uint64_t right = stamp == 0 ? 0 : pager::WordOf(stamp, i);
    if (words[i] != right) return i;
  }
  return kPageBytes / 8;  // It is right by now.
}

}  // namespace

void Stripe::SayWrong(uint64_t p) const {
  const Expected& expected = pages_[p];
  const char* name = "SIGBUS";
  uint64_t first = 0;
  (void)Guarded([&] {
    first = FirstWrong(PageAt(p), expected.stamp);
    name = NameOf(PageAt(p), expected);
  });
  // By stderr, which has no buffer that a forked child would write once more.
  std::fprintf(
      stderr,
      "wrong: in %d, page %#llx at %p, stamp %#llx%s, is %s from word %llu\n",
      getpid(), static_cast<unsigned long long>(OffsetOf(p) / kPageBytes),
      static_cast<void*>(PageAt(p)),
      static_cast<unsigned long long>(expected.stamp),
      expected.freed ? " or freed" : "", name,
      static_cast<unsigned long long>(first));
}

void Stripe::CallFailed(const char* call) {
  ++counts_.wrong;
  std::fprintf(stderr, "wrong: in %d, %s at %p: %s\n", getpid(), call,
               static_cast<void*>(at_), std::strerror(errno));
}

void Stripe::Check(uint64_t p) {
  ++counts_.reads;
  volatile bool right = false;
  if (!Guarded([&] { right = Is(PageAt(p), pages_[p]); })) return Lost(p);
  if (!right && ++counts_.wrong <= kSaid) SayWrong(p);
}

void Stripe::CheckAll() {
  for (uint64_t p = 0; p < kPages && !gone(); ++p) Check(p);
}

void Stripe::Write(uint64_t p, uint64_t stamp) {
  if (read_only_) return;
  ++counts_.writes;
  if (!Guarded([&] { pager::FillPage(PageAt(p), stamp); })) return Lost(p);
  pages_[p] = {stamp, false, pages_[p].stamp};
}

void Stripe::Lost(uint64_t p) {
  const bool said = ++(unclear_ ? counts_.unclear : counts_.sigbus) > kSaid;
  if (lossy_) return Discard(p, 1, MADV_DONTNEED);
  if (!said) SayWrong(p);
}

void Stripe::Forget(uint64_t p) {
  const uint64_t old = pages_[p].stamp != 0 ? pages_[p].stamp : pages_[p].old;
  pages_[p] = {0, false, old};
}

void Stripe::Discard(uint64_t p, uint64_t count, int advice) {
  if (locked_) return;
  count = std::min(count, kPages - p);
  if (madvise(PageAt(p), count * kPageBytes, advice) != 0) {
    return CallFailed("madvise");
  }
  for (uint64_t i = p; i < p + count; ++i) {
    if (advice == MADV_FREE) {
      pages_[i].freed = true;
    } else {
      Forget(i);
    }
  }
}

void Stripe::Replace(uint64_t kept) {
  if (locked_ || read_only_) return;
  const std::shared_lock changing(memory_.changing());
  char* const from = PageAt(kept);
  const size_t bytes = (kPages - kept) * kPageBytes;
  if (munmap(from, bytes) != 0) CallFailed("munmap");
  // Nobody else's, unless another thread was faster.
  void* const own =
      mmap(from, bytes, PROT_READ | PROT_WRITE,
           MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (own == from) {
    for (uint64_t p = kept; p < kPages; ++p) Forget(p);
    kept_ = std::min(kept_, kept);
    return;
  }
  if (own != MAP_FAILED) munmap(own, bytes);
  if (memory_.is_plain()) munmap(at_, kept * kPageBytes);
  at_ = nullptr;
}

void Stripe::Renew() {
  if (locked_ || read_only_) return;
  const std::shared_lock changing(memory_.changing());
  if (munmap(at_, kBytes) != 0) CallFailed("munmap");
  void* const at = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  at_ = at == MAP_FAILED ? nullptr : static_cast<char*>(at);
  for (uint64_t p = 0; p < kPages; ++p) Forget(p);
  kept_ = kPages;
}

void Stripe::Move() {
  if (locked_ || kept_ < kPages) return;  // It is several mappings.
  const std::shared_lock changing(memory_.changing());
  void* const room =
      mmap(nullptr, kBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (room == MAP_FAILED) return;
  void* const to =
      mremap(at_, kBytes, kBytes, MREMAP_MAYMOVE | MREMAP_FIXED, room);
  if (to == room) {
    at_ = static_cast<char*>(to);
    ++counts_.moves;
  } else if (errno == EFAULT) {
    munmap(room, kBytes);  // It is several all the same.
  } else {
    CallFailed("mremap");
  }
}

void Stripe::SetReadOnly(bool read_only) {
  if (locked_) return;
  const int protection = read_only ? PROT_READ : PROT_READ | PROT_WRITE;
  if (mprotect(at_, kBytes, protection) == 0) read_only_ = read_only;
}

void Stripe::SetLocked(bool locked) {
  if (lossy_) return;
  // By system call: ASan's mlock does nothing.
  const int64_t call = locked ? SYS_mlock : SYS_munlock;
  if (syscall(call, at_, kPageBytes) == 0) locked_ = locked;
}

void Stripe::AdviseHuge(bool huge) {
  madvise(at_, kBytes, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
}

void Stripe::Prefetch(uint64_t p, uint64_t count) {
  memory_.Prefetch(OffsetOf(p), count * kPageBytes);
}

void Stripe::Cold(uint64_t p, uint64_t count) {
  memory_.Cold(OffsetOf(p), count * kPageBytes);
}

void Stripe::Pin(uint64_t p, uint64_t count) {
  const bool pinned = memory_.Pin(OffsetOf(p), count * kPageBytes);
  for (int i = 0; i < 4; ++i) Check(p);
  if (pinned) memory_.Unpin(OffsetOf(p), count * kPageBytes);
}

void Stripe::DiscardByHint(uint64_t p, uint64_t count) {
  if (locked_) return;
  const bool done = memory_.Discard(OffsetOf(p), count * kPageBytes);
  for (uint64_t i = p; i < p + count; ++i) {
    if (done) {
      Forget(i);
    } else {
      pages_[i].freed = true;  // Or not.
    }
  }
}

void Stripe::Leave() {
  const uint64_t kept = memory_.is_plain() ? 0 : kept_;
  if (kept < kPages) munmap(PageAt(kept), (kPages - kept) * kPageBytes);
  at_ = nullptr;
}

}  // namespace farswap::chaos
