// What a pager is made of. Its parts are in pager.cc (its life), and in
// pager_groups.cc and pager_regions.cc.
//
// Thread-safe, but for Init and Shutdown.
#ifndef FARSWAP_CLIENT_PAGER_PAGER_IMPL_H_
#define FARSWAP_CLIENT_PAGER_PAGER_IMPL_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/pager/fault_path.h"
#include "client/pager/forks/forks.h"
#include "client/pager/hints.h"
#include "client/pager/map_changes.h"
#include "client/pager/message_source.h"
#include "client/pager/pager.h"
#include "client/pager/reclaim.h"
#include "client/pager/shared.h"
#include "client/pager/uffd.h"
#include "client/pager/workers.h"
#include "common/mutex.h"

namespace farswap::pager {

class Pager::Impl final : public Workers::Handler {
 public:
  absl::Status Init(const PagerOptions& options,
                    std::unique_ptr<remote::Transport> transport,
                    const Wrap& wrap);
  void Shutdown();

  absl::StatusOr<Group*> CreateGroup(uint64_t limit_bytes, Group* parent);
  absl::Status DestroyGroup(Group* group);
  absl::Status SetGroupLimit(Group* group, uint64_t limit_bytes);
  absl::Status SetGroupSwapLimit(Group* group, uint64_t limit_bytes);
  absl::StatusOr<Region*> CreateRegion(Group* group,
                                       const RegionOptions& options);
  absl::Status DestroyRegion(Region* region);
  absl::StatusOr<uint64_t> PageOut(Region* region);
  Hints& hints() { return *hints_; }
  void PrepareFork(int* socket);
  void ForkDone();
  PagerStats Stats() const;
  bool IsIdle() const;
  void CheckInvariants() const;

 private:
  // Reads this process's userfaultfd.
  class Source final : public MessageSource {
   public:
    explicit Source(Uffd* uffd) : uffd_(*uffd) {}
    int fd() const override { return uffd_.fd(); }
    std::optional<Message> Next(const WaitSet& set) override {
      return uffd_.Next(set);
    }

   private:
    Uffd& uffd_;
  };

  void Serve(const Message& message, SteadyTime read_at) override;
  void QueueChange(const Message& message) override {
    changes_->Queue(message.change);
  }
  void ApplyChanges(const Message&) override { changes_->Apply(); }
  // The background's, beside reclaim.
  void DoChores();
  [[noreturn]] void DieOfOwnFault(const Fault& fault) const;
  std::shared_ptr<Group> FindGroup(const Group* group);
  std::shared_ptr<Group> FindGroupLocked(const Group* group)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Nothing that the program did to the region's map is to be told.
  bool IsSettled(const Region* region) const;

  std::unique_ptr<Uffd> uffd_;
  std::unique_ptr<AddressSpace> wrapped_;  // Null unless a test asked.
  Shared shared_;
  std::shared_ptr<Mm> mm_ = std::make_shared<Mm>(&shared_.graves);
  std::unique_ptr<Forks> forks_;
  std::unique_ptr<MapChanges> changes_;
  std::unique_ptr<Reclaim> reclaim_;
  std::unique_ptr<FaultPath> faults_;
  std::unique_ptr<Hints> hints_;
  std::unique_ptr<Source> source_;
  std::unique_ptr<Workers> workers_;
  std::vector<int> transport_tids_;

  mutable Mutex mu_;
  std::vector<std::shared_ptr<Group>> groups_ ABSL_GUARDED_BY(mu_);
};

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_PAGER_IMPL_H_
