// Puts and gets: checks a whole batch, then says where its bytes are.
//
// A batch that was admitted holds its clusters pinned and, if it is a put, its
// session's epoch: while it lives, no byte it names becomes another's. Nothing
// is touched before the whole batch was found good.
//
// Thread-safe; takes no lock but the session's, for a few instructions.
#ifndef FARSWAP_SERVER_FOLIO_STORE_H_
#define FARSWAP_SERVER_FOLIO_STORE_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/clock.h"
#include "common/units.h"
#include "server/cluster_allocator.h"
#include "server/pool.h"
#include "server/session_table.h"

namespace farswap::server {

inline constexpr size_t kMaxBatchFolios = 512;
inline constexpr size_t kMaxBatchBytes = 2 << 20;

// As a request names it: nothing of it has been checked.
struct FolioName {
  uint64_t cluster = 0;
  uint64_t generation = 0;
  uint32_t slot = 0;
  uint32_t order = 0;
};

// Move-only: the pins are released with it.
class FolioBatch {
 public:
  struct Piece {
    char* data;
    size_t bytes;
  };

  FolioBatch() = default;
  FolioBatch(FolioBatch&& other) noexcept { *this = std::move(other); }
  FolioBatch& operator=(FolioBatch&& other) noexcept;
  ~FolioBatch() { Release(); }

  // The folios, in the order of the request.
  absl::Span<const Piece> pieces() const { return pieces_; }
  size_t bytes() const { return bytes_; }
  // Whose they are.
  const std::shared_ptr<Session>& session() const { return session_; }

 private:
  friend class FolioStore;
  void Release();

  ClusterAllocator* clusters_ = nullptr;
  absl::InlinedVector<Piece, 8> pieces_;
  absl::InlinedVector<uint64_t, 8> pinned_;
  size_t bytes_ = 0;
  std::shared_ptr<Session> session_;
  // Of a put, which is under way in the session; 0 for a get.
  uint32_t put_epoch_ = 0;
};

class FolioStore {
 public:
  // All outlive the store and every batch.
  FolioStore(Pool* pool, ClusterAllocator* clusters, SessionTable* sessions,
             const Clock* clock)
      : pool_(pool), clusters_(clusters), sessions_(sessions), clock_(clock) {}

  // `body_bytes`: what came with the put, which has to be what its folios are.
  absl::StatusOr<FolioBatch> BeginPut(uint64_t session, uint32_t epoch,
                                      absl::Span<const FolioName> folios,
                                      size_t body_bytes) const;
  absl::StatusOr<FolioBatch> BeginGet(uint64_t session, uint32_t epoch,
                                      absl::Span<const FolioName> folios) const;

 private:
  // Adds the folios to the batch, pinned.
  absl::Status PinAll(uint64_t session, absl::Span<const FolioName> folios,
                      FolioBatch* batch) const;

  Pool* const pool_;
  ClusterAllocator* const clusters_;
  SessionTable* const sessions_;
  const Clock* const clock_;
};

}  // namespace farswap::server

#endif  // FARSWAP_SERVER_FOLIO_STORE_H_
