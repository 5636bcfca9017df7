// Staging: the local memory that I/O uses, bounded, beside the groups' limits.
//
// Two mappings of 2 MiB blocks. The larger one is registered with the
// userfaultfd that the regions are on, so that a MoveOut into it is fenced
// with them; being registered, the kernel never fills it: its pages arrive by
// MoveOut only. The nursery is plain memory with MADV_HUGEPAGE: touching an
// empty block of it gives a zeroed 2 MiB page.
//
// A block is
//   empty   no page, no page table: a PMD folio can be moved out to it;
//   filled  a 2 MiB page with bytes that nobody needs: what a capture leaves
//           when its put is done, and what a get receives into: then it moves
//           on into a region, and the block is empty again. In a steady state
//           of folios going in and out no page is allocated, zeroed or freed;
//   shared  small folios, packed; empty again when it is full and all of
//           them are gone;
//   busy    in the hands of a caller.
//
// Thread-safe. Never touch the bytes of an empty buffer: in the registered
// mapping that is a fault nobody resolves; the pager aborts with a message.
#ifndef FARSWAP_CLIENT_PAGER_STAGING_H_
#define FARSWAP_CLIENT_PAGER_STAGING_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/pager/address_space.h"
#include "common/mutex.h"
#include "common/units.h"

namespace farswap::pager {

using SteadyTime = std::chrono::steady_clock::time_point;

class Staging {
 public:
  // 4 blocks: two to receive into, two to capture to.
  static constexpr size_t kMinBytes = size_t{8} << 20;

  // Maps `bytes`, a multiple of 2 MiB, at least kMinBytes, and hands the
  // larger mapping to `register_range`.
  // It is to be unregistered before the Staging goes, which unmaps it: nobody
  // may be left to read the event.
  static absl::StatusOr<std::unique_ptr<Staging>> Create(
      size_t bytes, AddressSpace* space,
      const std::function<absl::Status(char*, size_t)>& register_range);
  // Of plain memory: its buffers keep their pages, and nothing is moved there
  // or away.
  static absl::StatusOr<std::unique_ptr<Staging>> CreatePlain(size_t bytes);
  ~Staging();
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  bool plain() const { return space_ == nullptr; }

  // --- capture ---
  // An empty buffer for a folio of that order. Waits until `until` for one;
  // then null.
  char* GetEmpty(int order, SteadyTime until);
  // Nobody needs the bytes any more. `filled`: of order 9, and one 2 MiB page
  // is there. Otherwise the pages, if any, are dropped.
  void Put(char* buffer, int order, bool filled);
  // A page of a buffer that is not there yet becomes zeros. Dies if it cannot
  // be had for long.
  void Fill(char* page);

  // --- receive ---
  struct Filled {
    char* buffer = nullptr;  // 2 MiB, writable; null: none is free now.
    bool zeroed = false;     // All zeros (once touched); else any bytes.
  };
  // Never waits.
  Filled GetFilled();
  // How many of the buffer's pages are still there: the others were moved on
  // to a region.
  enum class Left { kAll, kSome, kNone };
  // What a MoveIn of a block that ended so left behind.
  Left LeftAfter(OpResult moved) const;
  void PutReceived(char* buffer, Left left);

  // Of the mapping that is captured to.
  size_t capture_bytes() const { return capture_blocks_ * kPmdBytes; }
  // Whether an address is in the registered mapping.
  bool Holds(const char* at) const;
  char* registered() const { return capture_; }
  size_t registered_bytes() const;
  // Whether no buffer is in anybody's hands.
  bool IsIdle() const;
  // Fails the waits for an empty buffer, now and in future.
  void Shutdown();

 private:
  // kStale: pages that could not be dropped are left, so nothing can be moved
  // there; it is tried again when nothing else is free.
  enum class State : uint8_t { kEmpty, kFilled, kShared, kBusy, kStale };
  struct Block {
    State state = State::kEmpty;
    uint32_t used = 0;         // Shared: pages given out, from the start.
    uint32_t outstanding = 0;  // Shared: of them, not yet put back.
  };

  Staging(char* capture, size_t capture_blocks, char* nursery,
          size_t nursery_blocks, AddressSpace* space);
  static absl::StatusOr<std::unique_ptr<Staging>> Map(size_t bytes,
                                                      AddressSpace* space);
  bool Zap(char* block);

  char* GetEmptyBlock(SteadyTime until);
  char* GetSmall(uint32_t pages, SteadyTime until);
  void PutSmall(char* buffer, uint32_t pages);
  void Empty(size_t block);  // Drops its pages and makes it kEmpty.
  bool HasBlockLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Takes an empty block, or failing that a filled one, to kBusy.
  std::optional<size_t> TakeLocked(State state)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  char* At(size_t block) const;
  size_t BlockOf(const char* buffer) const;
  bool InNursery(const char* buffer) const;

  char* const capture_;
  const size_t capture_blocks_;
  char* const nursery_;
  const size_t nursery_blocks_;
  // Of the registered mapping; null: it is plain memory.
  AddressSpace* const space_;

  mutable Mutex mu_;
  CondVar freed_;
  bool shutdown_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<Block> blocks_ ABSL_GUARDED_BY(mu_);
  // The shared block that small folios go to now.
  std::optional<size_t> open_ ABSL_GUARDED_BY(mu_);
  std::vector<char*> nursery_free_ ABSL_GUARDED_BY(mu_);
};

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_STAGING_H_
