#include "client/core/cluster_lists.h"

#include "common/check.h"

namespace farswap::core {

ClusterIndex ClusterLists::Make() {
  MutexLock lock(&mu_);
  FARSWAP_CHECK(end_ != UINT32_MAX);
  clusters_.Grow(end_);
  return end_++;
}

void ClusterLists::Move(ClusterInfo& cluster, ClusterIndex index,
                        ClusterState state, int order) {
  if (cluster.state == state && cluster.order == order) return;
  MutexLock lock(&mu_);
  MoveLocked(cluster, index, state, order);
}

void ClusterLists::MoveLocked(ClusterInfo& cluster, ClusterIndex index,
                              ClusterState state, int order) {
  List* from = ListOf(cluster.state, cluster.order);
  if (from != nullptr) Remove(from, index);
  cluster.state = state;
  cluster.order = static_cast<uint8_t>(order);
  PushTail(ListOf(state, order), index);
}

bool ClusterLists::Release(ClusterInfo& cluster, ClusterIndex index,
                           size_t keep) {
  if (cluster.state != ClusterState::kFree) return false;
  MutexLock lock(&mu_);
  if (lists_.free.length <= keep) return false;
  MoveLocked(cluster, index, ClusterState::kAbsent, 0);
  return true;
}

std::optional<ClusterIndex> ClusterLists::Next(ClusterState state, int order) {
  MutexLock lock(&mu_);
  List* list = ListOf(state, order);
  if (list->length == 0) return std::nullopt;
  const ClusterIndex index = list->head;
  list->head = clusters_.At(index).link.next;  // A turn of the ring.
  return index;
}

size_t ClusterLists::Length(ClusterState state, int order) const {
  MutexLock lock(&mu_);
  return const_cast<ClusterLists*>(this)->ListOf(state, order)->length;
}

size_t ClusterLists::present() const {
  MutexLock lock(&mu_);
  return end_ - lists_.absent.length;
}

ClusterIndex ClusterLists::end() const {
  MutexLock lock(&mu_);
  return end_;
}

ClusterLists::List* ClusterLists::ListOf(ClusterState state, int order) {
  switch (state) {
    case ClusterState::kNone:
      return nullptr;
    case ClusterState::kAbsent:
      return &lists_.absent;
    case ClusterState::kFree:
      return &lists_.free;
    case ClusterState::kNonfull:
      return &lists_.nonfull[order];
    case ClusterState::kFrag:
      return &lists_.frag[order];
    case ClusterState::kFull:
      return &lists_.full;
    case ClusterState::kRetired:
      return &lists_.retired;
  }
  return nullptr;
}

void ClusterLists::PushTail(List* list, ClusterIndex index) {
  ClusterLink& link = clusters_.At(index).link;
  if (list->length++ == 0) {
    list->head = link.next = link.prev = index;
    return;
  }
  ClusterLink& head = clusters_.At(list->head).link;
  link.next = list->head;
  link.prev = head.prev;
  clusters_.At(head.prev).link.next = index;
  head.prev = index;
}

void ClusterLists::Remove(List* list, ClusterIndex index) {
  const ClusterLink& link = clusters_.At(index).link;
  clusters_.At(link.prev).link.next = link.next;
  clusters_.At(link.next).link.prev = link.prev;
  if (list->head == index) list->head = link.next;
  --list->length;
}

size_t ClusterLists::CheckList(const List& list, ClusterState state,
                               int order) const ABSL_NO_THREAD_SAFETY_ANALYSIS {
  ClusterIndex index = list.head;
  for (size_t i = 0; i < list.length; ++i) {
    const ClusterInfo& cluster = clusters_.At(index);
    FARSWAP_CHECK(cluster.state == state);
    FARSWAP_CHECK(order < 0 || cluster.order == order);
    FARSWAP_CHECK(clusters_.At(cluster.link.next).link.prev == index);
    index = cluster.link.next;
  }
  FARSWAP_CHECK(list.length == 0 || index == list.head);
  return list.length;
}

void ClusterLists::CheckInvariants() const {
  MutexLock lock(&mu_);
  size_t listed = CheckList(lists_.absent, ClusterState::kAbsent, 0) +
                  CheckList(lists_.free, ClusterState::kFree, 0) +
                  CheckList(lists_.full, ClusterState::kFull, -1) +
                  CheckList(lists_.retired, ClusterState::kRetired, 0);
  for (int order = 0; order < kOrders; ++order) {
    listed += CheckList(lists_.nonfull[order], ClusterState::kNonfull, order);
    listed += CheckList(lists_.frag[order], ClusterState::kFrag, order);
  }
  FARSWAP_CHECK(listed == end_);
}

}  // namespace farswap::core
