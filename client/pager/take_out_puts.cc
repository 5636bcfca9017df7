// TakeOut: puts, and puts whose cluster is lost.
#include <utility>

#include "client/pager/content.h"
#include "client/pager/take_out.h"

namespace farswap::pager {
namespace {

// Kept folios would be in the way of captures in less.
constexpr size_t kMinStagingToKeep = 8 * kPmdBytes;

}  // namespace

// A put under way: the folio's reference that was the page map's, and what
// keeps its region.
class TakeOut::WriteBack final : public remote::PutOp {
 public:
  WriteBack(TakeOut* take_out, core::Folio* folio,
            std::shared_ptr<Region> region, bool huge, bool keep)
      : take_out(take_out),
        folio(folio),
        region(std::move(region)),
        huge(huge),
        keep(keep) {}

  void OnDone(const absl::Status& status) override {
    take_out->PutDone(std::unique_ptr<WriteBack>(this), status);
  }

  TakeOut* const take_out;
  core::Folio* folio;
  const std::shared_ptr<Region> region;
  const bool huge;  // The staging holds one 2 MiB page.
  const bool keep;  // The folio may be kept.
};

TakeOut::TakeOut(Shared* shared, ClusterSupply* clusters,
                 std::function<void()> progress, std::function<void()> lost)
    : shared_(*shared),
      clusters_(*clusters),
      forget_(shared),
      progress_(std::move(progress)),
      lost_(std::move(lost)),
      max_kept_pages_(shared->staging->capture_bytes() < kMinStagingToKeep
                          ? 0
                          : shared->staging->capture_bytes() / 4 / kPageBytes) {
}

TakeOut::~TakeOut() = default;

void TakeOut::StartPut(core::Folio* folio, std::shared_ptr<Region> region,
                       bool huge, bool keep) {
  auto* put = new WriteBack(this, folio, std::move(region), huge, keep);
  put->ref = {shared_.swap.GrantOf(folio->entry), folio->entry.slot(),
              folio->order};
  put->data = folio->staging;
  shared_.transport->StartPut(put);
}

void TakeOut::PutDone(std::unique_ptr<WriteBack> put,
                      const absl::Status& status) {
  core::Folio* const folio = put->folio;
  char* const staging = folio->staging;
  const uint64_t pages = PagesOf(folio->order);
  bool kept = false;
  if (put->keep && status.ok()) MakeRoomToKeep(folio);
  {
    MutexLock lock(shared_.LockOf(put->region.get(), folio->index));
    if (absl::IsDataLoss(status)) {
      shared_.swap.RetireCluster(folio->entry.cluster());
      if (!folio->mapped) {
        {
          MutexLock queue(&mu_);
          lost_puts_.push_back(std::move(put));
        }
        lost_();
        return;
      }
    }
    folio->writeback = false;
    folio->stored = status.ok();
    kept = !folio->mapped && status.ok() && put->keep &&
           KeepLocked(put->region.get(), folio);
    if (!kept) folio->staging = nullptr;
    if (!folio->mapped && !kept) {
      // Stored; or the client is closing, and nobody can ask for it again.
      shared_.swap.SwapCacheDelFolio(folio, folio->group->Evict(pages));
    } else if (folio->mapped && !status.ok()) {
      shared_.swap.FolioFreeSwap(folio);
    }
  }
  if (status.ok()) {
    shared_.counters.swpout[folio->order].Add();
    shared_.counters.swpout_bytes.Add(pages * kPageBytes);
  }
  Release(folio, kept ? nullptr : staging, put->huge);
}

bool TakeOut::PutAgainLocked(core::Folio* folio) {
  std::shared_ptr<Region> region = RegionOf(folio)->weak_from_this().lock();
  if (region == nullptr || region->dead()) return false;
  if (!ReservePut()) {
    folio->group->LruKeepAgain(folio);
    return true;
  }
  folio->staging = UnkeepLocked(folio);
  folio->group->Uncharge(PagesOf(folio->order));
  folio->writeback = true;
  folio->stored = false;
  core::FolioArena::Get(folio);  // The I/O's.
  auto put = std::make_unique<WriteBack>(this, folio, std::move(region),
                                         /*huge=*/false, /*keep=*/false);
  put->data = folio->staging;
  {
    MutexLock queue(&mu_);
    lost_puts_.push_back(std::move(put));
  }
  lost_();
  return true;
}

TakeOut::Rehomed TakeOut::Rehome(WriteBack* put) {
  core::Folio* const old = put->folio;
  Region* const region = put->region.get();
  const Content content = HashContent(old->staging, old->order);
  MutexLock lock(shared_.LockOf(region, old->index));
  const bool unowned = shared_.swap.FolioFreeSwap(old);
  // A fault took the bytes back: they are safe. Or the region went.
  if (old->mapped || unowned) {
    old->writeback = false;
    old->staging = nullptr;
    return Rehomed::kNotNeeded;
  }
  core::Folio* const fresh =
      shared_.folios.Allocate(old->order, old->group, region, old->index);
  if (fresh == nullptr) return Rehomed::kNoSlots;
  if (!shared_.swap.FolioReplaceSwap(fresh)) {
    shared_.folios.Put(fresh);
    return Rehomed::kNoSlots;
  }
  fresh->writeback = true;
  fresh->staging = old->staging;
  fresh->hash = content.hash;
  shared_.swap.FolioDupSwap(fresh);
  RenameLocked(region, old, fresh);
  const core::ClusterGrant grant = shared_.swap.GrantOf(fresh->entry);
  const Sums sums = SumsOf(content, grant, fresh->entry.slot(), fresh->order);
  shared_.swap.SetSums(fresh->entry, fresh->order, /*zero=*/false,
                       absl::MakeSpan(sums.data(), PartsOf(fresh->order)));
  old->writeback = false;
  old->staging = nullptr;
  shared_.swap.FolioFreeSwap(old);
  shared_.folios.Put(old);
  put->folio = fresh;
  put->ref = {grant, fresh->entry.slot(), fresh->order};
  return Rehomed::kRestarted;
}

void TakeOut::RenameLocked(Region* region, core::Folio* old,
                           core::Folio* fresh) {
  PageMap& map = region->map();
  if (map.IsSwapRun(old->index, old->order, old->entry)) {
    map.Set(old->index, old->order, PageWord::Swap(fresh->entry));
    shared_.swap.PutEntries(old->entry, PagesOf(old->order), region->group());
    return;
  }
  for (uint32_t i = 0; i < PagesOf(old->order); ++i) {
    if (map.Get(old->index + i) == PageWord::Swap(old->entry + i)) {
      map.Set(old->index + i, 0, PageWord::Swap(fresh->entry + i));
      shared_.swap.PutEntries(old->entry + i, 1, region->group());
    } else {
      shared_.swap.PutEntries(fresh->entry + i, 1, region->group());
    }
  }
}

void TakeOut::RehomeAll() {
  std::vector<std::unique_ptr<WriteBack>> lost;
  {
    MutexLock lock(&mu_);
    lost.swap(lost_puts_);
  }
  const Grace::Hold hold(&shared_.grace);
  bool room = true;
  for (std::unique_ptr<WriteBack>& put : lost) {
    char* const staging = put->folio->staging;
    Rehomed rehomed = room ? Rehome(put.get()) : Rehomed::kNoSlots;
    if (rehomed == Rehomed::kNoSlots && room) {
      // One wait for the servers a round, not one a folio.
      room = clusters_.Refill(SteadyTime::max());
      if (room) rehomed = Rehome(put.get());
    }
    switch (rehomed) {
      case Rehomed::kNotNeeded:
        Release(put->folio, staging, put->huge);
        break;
      case Rehomed::kRestarted:
        shared_.transport->StartPut(put.release());
        break;
      case Rehomed::kNoSlots: {
        MutexLock lock(&mu_);
        lost_puts_.push_back(std::move(put));
        break;
      }
    }
  }
}

void TakeOut::Release(core::Folio* folio, char* staging, bool huge) {
  if (staging != nullptr) shared_.staging->Put(staging, folio->order, huge);
  shared_.folios.Put(folio);
  ReleasePut();
  progress_();
}

}  // namespace farswap::pager
