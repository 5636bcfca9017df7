// Pager: memory groups.
#include <memory>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "client/pager/group_limit.h"
#include "client/pager/pager_impl.h"

namespace farswap::pager {

absl::StatusOr<Group*> Pager::Impl::CreateGroup(uint64_t limit_bytes,
                                                Group* parent) {
  const absl::Status enough = CheckGroupLimit(limit_bytes);
  if (!enough.ok()) return enough;
  // Held on, so that the group above does not go meanwhile.
  MutexLock lock(&mu_);
  const std::shared_ptr<Group> above = FindGroupLocked(parent);
  if (parent != nullptr && above == nullptr) {
    return absl::InvalidArgumentError("there is no such group to be below");
  }
  if (above != nullptr && above->depth() == Group::kMaxDepth) {
    return absl::InvalidArgumentError(absl::StrCat(
        "groups are at most ", Group::kMaxDepth, " deep: give one above"));
  }
  auto group =
      std::make_shared<Group>(&shared_.folios, limit_bytes / kPageBytes, above);
  reclaim_->AddGroup(group);
  groups_.push_back(group);
  return group.get();
}

absl::Status Pager::Impl::DestroyGroup(Group* group) {
  if (FindGroup(group) == nullptr) {
    return absl::InvalidArgumentError("there is no such group");
  }
  if (mm_->regions.HasGroup(group)) {
    return absl::FailedPreconditionError("a region of the group is left");
  }
  MutexLock lock(&mu_);
  if (absl::c_any_of(groups_,
                     [&](const auto& g) { return g->parent() == group; })) {
    return absl::FailedPreconditionError("a group below the group is left");
  }
  reclaim_->RemoveGroup(group);
  std::erase_if(groups_, [&](const auto& g) { return g.get() == group; });
  return absl::OkStatus();
}

absl::Status Pager::Impl::SetGroupLimit(Group* group, uint64_t limit_bytes) {
  const std::shared_ptr<Group> held = FindGroup(group);
  if (held == nullptr) {
    return absl::InvalidArgumentError("there is no such group");
  }
  const absl::Status enough = CheckGroupLimit(limit_bytes);
  if (!enough.ok()) return enough;
  if (!held->TrySetLimit(limit_bytes / kPageBytes)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a local limit of ", limit_bytes, " bytes is too small beside the ",
        held->pinned() * kPageBytes, " that are pinned; unpin some, or give ",
        "8 MiB, or a sixteenth of it, more than they are"));
  }
  reclaim_->Kick();
  return absl::OkStatus();
}

absl::Status Pager::Impl::SetGroupSwapLimit(Group* group,
                                            uint64_t limit_bytes) {
  const std::shared_ptr<Group> held = FindGroup(group);
  if (held == nullptr) {
    return absl::InvalidArgumentError("there is no such group");
  }
  held->SetSwapLimit(limit_bytes == 0
                         ? Group::kNoLimit
                         : AlignUp(limit_bytes, kPageBytes) / kPageBytes);
  reclaim_->Kick();
  return absl::OkStatus();
}

std::shared_ptr<Group> Pager::Impl::FindGroup(const Group* group) {
  MutexLock lock(&mu_);
  return FindGroupLocked(group);
}

std::shared_ptr<Group> Pager::Impl::FindGroupLocked(const Group* group) {
  for (const auto& g : groups_) {
    if (g.get() == group) return g;
  }
  return nullptr;
}

}  // namespace farswap::pager
