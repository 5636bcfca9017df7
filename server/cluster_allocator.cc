#include "server/cluster_allocator.h"

#include <algorithm>

#include "common/check.h"

namespace farswap::server {
bool ClusterAllocator::Pin(uint64_t cluster, uint64_t generation,
                           uint64_t session) {
  ClusterRecord* const record = directory_.Find(cluster);
  if (record == nullptr || generation == 0) return false;
  record->pins.fetch_add(1);
  if (record->generation.load() == generation &&
      record->session.load() == session) {
    return true;
  }
  Unpin(cluster);
  return false;
}

void ClusterAllocator::Unpin(uint64_t cluster) {
  ClusterRecord* const record = directory_.Find(cluster);
  if (record->pins.fetch_sub(1) != 1 || record->generation.load() != 0) return;
  // The last use of a retired cluster: somebody may be waiting for it.
  MutexLock lock(&mu_);
  unpinned_.SignalAll();
}

std::vector<uint64_t> ClusterAllocator::Take(uint32_t count) {
  MutexLock lock(&mu_);
  std::vector<uint64_t> taken;
  while (taken.size() < count && free_head_ != kNoCluster) {
    taken.push_back(free_head_);
    free_head_ = directory_.Find(free_head_)->next;
  }
  while (taken.size() < count && high_water_ < clusters_) {
    directory_.Make(high_water_);
    taken.push_back(high_water_++);
  }
  return taken;
}

void ClusterAllocator::Link(uint32_t cluster, ClusterRecord* record,
                            uint64_t session) {
  Owned& owned = owned_[session];
  record->prev = kNoCluster;
  record->next = owned.head;
  if (owned.head != kNoCluster) directory_.Find(owned.head)->prev = cluster;
  owned.head = cluster;
  ++owned.count;
  ++granted_;
}

void ClusterAllocator::Unlink(ClusterRecord* record) {
  const auto owned = owned_.find(record->session.load());
  if (record->prev != kNoCluster) {
    directory_.Find(record->prev)->next = record->next;
  } else {
    owned->second.head = record->next;
  }
  if (record->next != kNoCluster) {
    directory_.Find(record->next)->prev = record->prev;
  }
  --granted_;
  if (--owned->second.count == 0) owned_.erase(owned);
}

void ClusterAllocator::Grant(const GrantRecord& grant) {
  MutexLock lock(&mu_);
  ClusterRecord* const record = directory_.Find(grant.cluster);
  FARSWAP_CHECK(record->generation.load() == 0);
  record->request = grant.request;
  record->session.store(grant.session);
  Link(static_cast<uint32_t>(grant.cluster), record, grant.session);
  record->generation.store(grant.generation);
}

GrantRecord ClusterAllocator::RetireLocked(uint32_t cluster,
                                           ClusterRecord* record) {
  const GrantRecord grant{record->session.load(), record->request, cluster,
                          record->generation.load()};
  Unlink(record);
  record->generation.store(0);
  return grant;
}

std::optional<GrantRecord> ClusterAllocator::Retire(uint64_t cluster,
                                                    uint64_t generation,
                                                    uint64_t session) {
  MutexLock lock(&mu_);
  ClusterRecord* const record = directory_.Find(cluster);
  if (record == nullptr || generation == 0 ||
      record->generation.load() != generation ||
      record->session.load() != session) {
    return std::nullopt;
  }
  return RetireLocked(static_cast<uint32_t>(cluster), record);
}

std::vector<GrantRecord> ClusterAllocator::RetireAll(uint64_t session) {
  MutexLock lock(&mu_);
  std::vector<GrantRecord> retired;
  const auto owned = owned_.find(session);
  if (owned == owned_.end()) return retired;
  uint32_t cluster = owned->second.head;
  while (cluster != kNoCluster) {
    ClusterRecord* const record = directory_.Find(cluster);
    const uint32_t next = record->next;
    retired.push_back(RetireLocked(cluster, record));
    cluster = next;
  }
  return retired;
}

bool ClusterAllocator::IsPinned(uint64_t cluster) const {
  return directory_.Find(cluster)->pins.load() != 0;
}

bool ClusterAllocator::AwaitUnpinned(absl::Span<const uint64_t> clusters,
                                     Clock::Time until) {
  MutexLock lock(&mu_);
  for (const uint64_t cluster : clusters) {
    while (IsPinned(cluster)) {
      if (!unpinned_.WaitUntil(&mu_, until) && IsPinned(cluster)) return false;
    }
  }
  return true;
}

void ClusterAllocator::Return(uint64_t cluster) {
  MutexLock lock(&mu_);
  ReturnLocked(cluster);
}

void ClusterAllocator::ReturnLocked(uint64_t cluster) {
  ClusterRecord* const record = directory_.Make(cluster);
  FARSWAP_CHECK(record->generation.load() == 0);
  record->next = free_head_;
  free_head_ = static_cast<uint32_t>(cluster);
}

bool ClusterAllocator::Owns(const GrantRecord& grant) const {
  const ClusterRecord* const record = directory_.Find(grant.cluster);
  return record != nullptr && grant.generation != 0 &&
         record->generation.load() == grant.generation &&
         record->session.load() == grant.session;
}

bool ClusterAllocator::Restore(const GrantRecord& grant) {
  {
    MutexLock lock(&mu_);
    const ClusterRecord* const record = directory_.Make(grant.cluster);
    if (grant.generation == 0 || record->generation.load() != 0) return false;
    high_water_ = std::max(high_water_, grant.cluster + 1);
  }
  Grant(grant);
  return true;
}

uint64_t ClusterAllocator::granted() const {
  MutexLock lock(&mu_);
  return granted_;
}

uint64_t ClusterAllocator::GrantedTo(uint64_t session) const {
  MutexLock lock(&mu_);
  const auto owned = owned_.find(session);
  return owned == owned_.end() ? 0 : owned->second.count;
}

size_t ClusterAllocator::allocated_bytes() const {
  MutexLock lock(&mu_);
  return directory_.allocated_bytes();
}

void ClusterAllocator::CheckInvariants() const {
  MutexLock lock(&mu_);
  uint64_t owned_count = 0;
  for (const auto& [session, owned] : owned_) {
    uint32_t count = 0;
    for (uint32_t c = owned.head; c != kNoCluster;
         c = directory_.Find(c)->next, ++count) {
      const ClusterRecord* const record = directory_.Find(c);
      FARSWAP_CHECK(record->generation.load() != 0);
      FARSWAP_CHECK(record->session.load() == session);
    }
    FARSWAP_CHECK(count == owned.count);
    owned_count += count;
  }
  FARSWAP_CHECK(owned_count == granted_);
  uint64_t free = 0;
  for (uint32_t c = free_head_; c != kNoCluster;
       c = directory_.Find(c)->next, ++free) {
    FARSWAP_CHECK(directory_.Find(c)->generation.load() == 0);
    FARSWAP_CHECK(free <= high_water_);
  }
  FARSWAP_CHECK(free + granted_ <= high_water_);
}

}  // namespace farswap::server
