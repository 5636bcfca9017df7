#include "tests/bench/policy_run.h"

#include <functional>
#include <queue>
#include <utility>

#include "client/core/folio.h"
#include "client/core/memory_group.h"
#include "common/check.h"
#include "tests/bench/policy_rivals.h"

namespace farswap::bench {
namespace {

using core::Folio;

// The pager's part of it, for folios of one page.
class Shipped {
 public:
  explicit Shipped(const PolicyTrace& trace)
      : group_(&folios_, trace.memory), pages_(trace.pages) {}
  ~Shipped() {
    for (Page& page : pages_) {
      if (page.folio != nullptr) Free(&page);
    }
  }
  Shipped(const Shipped&) = delete;
  Shipped& operator=(const Shipped&) = delete;

  void Access(uint32_t index) {
    Page& page = pages_[index];
    if (page.folio == nullptr) return HardFault(index);
    if (page.folio->mapped) return;
    SoftFault(&page);
  }
  const PolicyCost& cost() const { return cost_; }

 private:
  struct Page {
    Folio* folio = nullptr;  // Mapped, or kept.
    bool touched = false;
    uint32_t age = 0;
  };

  void HardFault(uint32_t index) {
    Page& page = pages_[index];
    while (!group_.TryCharge(1)) MakeRoom();
    bool active = false;
    if (page.touched) {
      ++cost_.hard;
      active = group_.Refault(page.age, /*pages=*/1, /*was_active=*/false);
    } else {
      ++cost_.first;
    }
    page.touched = true;
    page.folio = folios_.Allocate(0, &group_, nullptr, index);
    page.folio->mapped = true;
    group_.LruAdd(page.folio, active);
  }
  void SoftFault(Page* page) {
    ++cost_.soft;
    group_.LruDel(page->folio);
    page->folio->mapped = true;
    group_.LruAdd(page->folio, /*active=*/true);
    FillKept();
  }
  // One page of room. What is kept is as much as may be; the oldest of it goes.
  void MakeRoom() {
    FillKept();
    std::vector<Folio*> victims;
    if (group_.LruIsolateKept(1, &victims) == 0) {
      FARSWAP_CHECK(group_.LruIsolate(1, &victims) == 1);
      ++cost_.unmaps;
    }
    folios_.Put(victims.front());  // Isolation's.
    Page& page = pages_[victims.front()->index];
    page.age = group_.Evict(1);
    Free(&page);
    FillKept();
  }
  void FillKept() {
    std::vector<Folio*> victims;
    while (group_.kept() < group_.keep_limit()) {
      victims.clear();
      if (group_.LruIsolate(1, &victims) == 0) return;
      Folio* const folio = victims.front();
      ++cost_.unmaps;
      folio->mapped = false;
      group_.LruDel(folio);
      FARSWAP_CHECK(group_.LruKeep(folio));
      folios_.Put(folio);  // Isolation's.
    }
  }
  void Free(Page* page) {
    group_.LruDel(page->folio);
    group_.Uncharge(1);
    folios_.Put(page->folio);
    page->folio = nullptr;
  }

  core::FolioArena folios_;
  core::MemoryGroup group_;
  std::vector<Page> pages_;
  PolicyCost cost_;
};

// For each access, when its page is used next; never: the number of accesses.
std::vector<uint32_t> NextUses(const PolicyTrace& trace) {
  const auto never = static_cast<uint32_t>(trace.accesses.size());
  std::vector<uint32_t> next(trace.accesses.size());
  std::vector<uint32_t> last(trace.pages, never);
  for (uint32_t i = never; i-- > 0;) {
    next[i] = last[trace.accesses[i]];
    last[trace.accesses[i]] = i;
  }
  return next;
}

PolicyCost RunMin(const PolicyTrace& trace) {
  const std::vector<uint32_t> next = NextUses(trace);
  PolicyCost cost;
  std::vector<bool> local(trace.pages), touched(trace.pages);
  std::vector<uint32_t> use(trace.pages);
  std::priority_queue<std::pair<uint32_t, uint32_t>> order;  // Use, page.
  uint32_t used = 0;
  for (uint32_t i = 0; i < trace.accesses.size(); ++i) {
    const uint32_t page = trace.accesses[i];
    if (!local[page]) {
      ++(touched[page] ? cost.hard : cost.first);
      touched[page] = true;
      while (used >= trace.memory) {
        const auto [when, victim] = order.top();
        order.pop();
        if (!local[victim] || use[victim] != when) continue;  // Out of date.
        local[victim] = false;
        --used;
        ++cost.unmaps;
      }
      local[page] = true;
      ++used;
    }
    use[page] = next[i];
    order.emplace(next[i], page);
  }
  return cost;
}

using Runner = std::function<PolicyCost(const PolicyTrace&)>;
const std::vector<std::pair<std::string, Runner>>& Runners() {
  const auto lists = [](TwoListsRule rule) {
    return [rule](const PolicyTrace& t) { return RunTwoLists(t, rule); };
  };
  const auto queues = [](QueuesRule rule) {
    return [rule](const PolicyTrace& t) { return RunQueues(t, rule); };
  };
  static const auto* const runners =
      new std::vector<std::pair<std::string, Runner>>{
          {"min", RunMin},
          {"lru", [](const PolicyTrace& t) { return RunInOrder(t, true); }},
          {"fifo", [](const PolicyTrace& t) { return RunInOrder(t, false); }},
          {"shipped", RunShipped},
          {"half", lists({.soon = 0.5})},
          {"shadows", lists({.soon = 0.125})},
          {"kept_32", lists({.kept = 0.03125})},
          {"kept_16", lists({.kept = 0.0625})},
          {"kept_8", lists({.kept = 0.125})},
          {"segmented_8", lists({.kept = 0.125, .active = 0})},
          {"wide", lists({.kept = 0.03125, .soon = 0.125, .active = 3})},
          {"unchallenged", lists({.kept = 0.03125, .soon = 0.125})},
          {"two_queues", queues({.rounds = false})},
          {"s3", queues({})},
          {"s3_kept", queues({.kept = 0.05})},
          {"arc", queues({.adaptive = true})},
      };
  return *runners;
}

}  // namespace

PolicyCost RunShipped(const PolicyTrace& trace) {
  Shipped shipped(trace);
  for (const uint32_t page : trace.accesses) shipped.Access(page);
  return shipped.cost();
}

std::vector<std::string> PolicyNames() {
  std::vector<std::string> names;
  for (const auto& [name, run] : Runners()) names.push_back(name);
  return names;
}

PolicyCost RunPolicy(const std::string& name, const PolicyTrace& trace) {
  for (const auto& [known, run] : Runners()) {
    if (known == name) return run(trace);
  }
  FARSWAP_CHECK(false);
}

}  // namespace farswap::bench
