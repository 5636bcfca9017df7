#include "server/folio_store.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/error.h"

namespace farswap::server {
namespace {

absl::Status Malformed(const std::string& what) {
  return Refuse(Reason::kMalformed, what);
}

// What no state of the server makes valid. Sums up the folios' bytes.
absl::Status CheckShape(absl::Span<const FolioName> folios, size_t* bytes) {
  if (folios.empty() || folios.size() > kMaxBatchFolios) {
    return Malformed(absl::StrCat("folios are ", folios.size(), ", not 1 to ",
                                  kMaxBatchFolios));
  }
  *bytes = 0;
  for (const FolioName& folio : folios) {
    if (folio.order > kMaxOrder) {
      return Malformed(absl::StrCat("order ", folio.order, " is above 9"));
    }
    const uint32_t pages = PagesOf(static_cast<int>(folio.order));
    if (folio.slot >= kSlotsPerCluster || folio.slot % pages != 0) {
      return Malformed(absl::StrCat(
          "slot ", folio.slot, " is not below 512 and a multiple of ", pages));
    }
    if (folio.generation == 0) return Malformed("generation is missing");
    *bytes += BytesOf(static_cast<int>(folio.order));
  }
  if (*bytes > kMaxBatchBytes) {
    return Malformed(absl::StrCat("the folios have ", *bytes,
                                  " bytes, more than ", kMaxBatchBytes));
  }
  return absl::OkStatus();
}

// Two folios of a put in one place: which bytes would it be to keep?
absl::Status CheckDistinct(absl::Span<const FolioName> folios) {
  if (folios.size() == 1) return absl::OkStatus();
  absl::InlinedVector<std::pair<uint64_t, uint64_t>, 64> ranges;
  for (const FolioName& folio : folios) {
    // Cluster numbers that are granted are below 2^29.
    if (folio.cluster >= kMaxClusters) continue;
    const uint64_t first = folio.cluster * kSlotsPerCluster + folio.slot;
    ranges.emplace_back(first, first + PagesOf(static_cast<int>(folio.order)));
  }
  std::sort(ranges.begin(), ranges.end());
  for (size_t i = 1; i < ranges.size(); ++i) {
    if (ranges[i].first < ranges[i - 1].second) {
      return Malformed(absl::StrCat("slot ", ranges[i].first % kSlotsPerCluster,
                                    " is named twice"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<Session>> Find(const SessionTable& sessions,
                                              uint64_t id, uint32_t epoch) {
  if (id == 0) return Malformed("session_id is missing");
  if (epoch == 0) return Malformed("epoch is missing");
  std::shared_ptr<Session> session = sessions.Find(id);
  if (session != nullptr) return session;
  return Refuse(Reason::kUnknownSession,
                "no such session: attach, to learn what became of it");
}

}  // namespace

FolioBatch& FolioBatch::operator=(FolioBatch&& other) noexcept {
  Release();
  clusters_ = other.clusters_;
  pieces_ = std::move(other.pieces_);
  pinned_ = std::move(other.pinned_);
  bytes_ = std::exchange(other.bytes_, 0);
  session_ = std::move(other.session_);
  put_epoch_ = std::exchange(other.put_epoch_, 0);
  other.pieces_.clear();
  other.pinned_.clear();
  return *this;
}

void FolioBatch::Release() {
  for (const uint64_t cluster : pinned_) clusters_->Unpin(cluster);
  pinned_.clear();
  pieces_.clear();
  if (put_epoch_ != 0) session_->EndPut(std::exchange(put_epoch_, 0));
  session_.reset();
}

absl::Status FolioStore::PinAll(uint64_t session,
                                absl::Span<const FolioName> folios,
                                FolioBatch* batch) const {
  batch->clusters_ = clusters_;
  for (const FolioName& folio : folios) {
    if (!clusters_->Pin(folio.cluster, folio.generation, session)) {
      return Refuse(Reason::kStaleGeneration,
                    absl::StrCat("cluster ", folio.cluster,
                                 " is not the session's at generation ",
                                 folio.generation));
    }
    batch->pinned_.push_back(folio.cluster);
    batch->pieces_.push_back(
        {pool_->Data(folio.cluster) + folio.slot * kPageBytes,
         BytesOf(static_cast<int>(folio.order))});
  }
  return absl::OkStatus();
}

absl::StatusOr<FolioBatch> FolioStore::BeginPut(
    uint64_t session, uint32_t epoch, absl::Span<const FolioName> folios,
    size_t body_bytes) const {
  FolioBatch batch;
  absl::Status status = CheckShape(folios, &batch.bytes_);
  if (!status.ok()) return status;
  if (body_bytes != batch.bytes_) {
    return Malformed(absl::StrCat("the body has ", body_bytes,
                                  " bytes, its folios ", batch.bytes_));
  }
  status = CheckDistinct(folios);
  if (!status.ok()) return status;
  auto found = Find(*sessions_, session, epoch);
  if (!found.ok()) return found.status();
  status = (*found)->BeginPut(epoch, clock_->Now());
  if (!status.ok()) return status;
  batch.session_ = *std::move(found);
  batch.put_epoch_ = epoch;
  status = PinAll(session, folios, &batch);
  if (!status.ok()) return status;
  return batch;
}

absl::StatusOr<FolioBatch> FolioStore::BeginGet(
    uint64_t session, uint32_t epoch,
    absl::Span<const FolioName> folios) const {
  FolioBatch batch;
  absl::Status status = CheckShape(folios, &batch.bytes_);
  if (!status.ok()) return status;
  auto found = Find(*sessions_, session, epoch);
  if (!found.ok()) return found.status();
  status = (*found)->Enter(epoch, clock_->Now());
  if (!status.ok()) return status;
  batch.session_ = *std::move(found);
  status = PinAll(session, folios, &batch);
  if (!status.ok()) return status;
  return batch;
}

}  // namespace farswap::server
