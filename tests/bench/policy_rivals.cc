#include "tests/bench/policy_rivals.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

namespace farswap::bench {
namespace {

// Lists of pages; a page is on one of them, or on none.
class Lists {
 public:
  static constexpr int kNone = -1;
  static constexpr int kLists = 3;

  explicit Lists(uint32_t pages)
      : next_(pages + kLists),
        prev_(pages + kLists),
        on_(pages, kNone),
        anchor_(pages) {
    for (uint32_t i = anchor_; i < anchor_ + kLists; ++i) {
      next_[i] = prev_[i] = i;
    }
  }
  int On(uint32_t page) const { return on_[page]; }
  uint32_t Size(int list) const { return sizes_[list]; }
  uint32_t total() const { return sizes_[0] + sizes_[1] + sizes_[2]; }
  void Add(uint32_t page, int list) {
    const uint32_t anchor = anchor_ + list;
    next_[page] = next_[anchor];
    prev_[page] = anchor;
    prev_[next_[anchor]] = page;
    next_[anchor] = page;
    on_[page] = static_cast<int8_t>(list);
    ++sizes_[list];
  }
  void Del(uint32_t page) {
    next_[prev_[page]] = next_[page];
    prev_[next_[page]] = prev_[page];
    --sizes_[on_[page]];
    on_[page] = kNone;
  }
  // REQUIRES: the list is not empty.
  uint32_t TakeTail(int list) {
    const uint32_t page = prev_[anchor_ + list];
    Del(page);
    return page;
  }

 private:
  std::vector<uint32_t> next_, prev_;
  std::vector<int8_t> on_;
  const uint32_t anchor_;  // Of list 0, among next_ and prev_.
  std::array<uint32_t, kLists> sizes_{};
};

constexpr int kInactive = 0;  // Or probation.
constexpr int kActive = 1;    // Or main.
constexpr int kKept = 2;

// What the two below have in common: faults, and what is kept.
class Policy {
 public:
  Policy(const PolicyTrace& trace, double kept)
      : trace_(trace),
        to_keep_(static_cast<uint32_t>(kept * trace.memory)),
        lists_(trace.pages),
        touched_(trace.pages),
        ages_(trace.pages) {}
  virtual ~Policy() = default;

  PolicyCost Run() {
    for (const uint32_t page : trace_.accesses) {
      const int on = lists_.On(page);
      if (on == Lists::kNone) {
        HardFault(page);
      } else if (on == kKept) {
        SoftFault(page);
      }
    }
    return cost_;
  }

 protected:
  // Puts the next victim on the kept list. REQUIRES: a page is mapped.
  virtual void Unmap() = 0;
  virtual void CameBackSoft(uint32_t page) = 0;
  // `distance`, of memory; a first touch's is huge.
  virtual void CameBackHard(uint32_t page, double distance) = 0;

  void Keep(uint32_t page) {
    lists_.Add(page, kKept);
    ++cost_.unmaps;
  }

  const PolicyTrace& trace_;
  const uint32_t to_keep_;
  Lists lists_;
  uint64_t age_ = 0;

 private:
  void HardFault(uint32_t page) {
    const double distance =
        touched_[page] ? static_cast<double>(age_ - ages_[page]) / trace_.memory
                       : 1e9;
    ++(touched_[page] ? cost_.hard : cost_.first);
    touched_[page] = true;
    while (lists_.total() >= trace_.memory) {
      while (lists_.Size(kKept) <= to_keep_) Unmap();
      ages_[lists_.TakeTail(kKept)] = age_++;
    }
    CameBackHard(page, distance);
  }
  void SoftFault(uint32_t page) {
    ++cost_.soft;
    lists_.Del(page);
    CameBackSoft(page);
    while (lists_.Size(kKept) < to_keep_) Unmap();
  }

  std::vector<bool> touched_;
  std::vector<uint64_t> ages_;
  PolicyCost cost_;
};

class TwoLists final : public Policy {
 public:
  TwoLists(const PolicyTrace& trace, const TwoListsRule& rule)
      : Policy(trace, rule.kept), rule_(rule) {}

 protected:
  void Unmap() override {
    for (int i = 0; i < 2; ++i) {
      if (rule_.active * lists_.Size(kInactive) >= lists_.Size(kActive)) break;
      lists_.Add(lists_.TakeTail(kActive), kInactive);
    }
    Keep(lists_.TakeTail(kInactive));
  }
  void CameBackSoft(uint32_t page) override { Activate(page); }
  void CameBackHard(uint32_t page, double distance) override {
    if (distance <= rule_.soon) {
      Activate(page);
    } else {
      lists_.Add(page, kInactive);
    }
  }

 private:
  void Activate(uint32_t page) {
    if (rule_.active == 0) return lists_.Add(page, kInactive);
    lists_.Add(page, kActive);
    ++age_;
  }
  const TwoListsRule rule_;
};

class Queues final : public Policy {
 public:
  Queues(const PolicyTrace& trace, const QueuesRule& rule)
      : Policy(trace, rule.kept),
        rule_(rule),
        probation_(0.1 * trace.memory),
        credit_(trace.pages),
        rounds_(trace.pages),
        was_main_(trace.pages) {}

 protected:
  void Unmap() override {
    for (;;) {
      const bool on_probation =
          lists_.Size(kInactive) > probation_ || lists_.Size(kActive) == 0;
      if (on_probation && lists_.Size(kInactive) > 0) {
        const uint32_t page = lists_.TakeTail(kInactive);
        was_main_[page] = false;
        return Keep(page);
      }
      const uint32_t page = lists_.TakeTail(kActive);
      if (rounds_[page] == 0) {
        was_main_[page] = true;
        return Keep(page);
      }
      --rounds_[page];
      lists_.Add(page, kActive);
    }
  }
  void CameBackSoft(uint32_t page) override {
    ToMain(page, std::min(3, credit_[page] + 1));
  }
  void CameBackHard(uint32_t page, double distance) override {
    if (rule_.adaptive && distance <= 1) Adapt(was_main_[page]);
    if (distance > 1) {
      credit_[page] = 0;
      lists_.Add(page, kInactive);
    } else {
      ToMain(page, distance <= 0.1    ? 3
                   : distance <= 0.25 ? 2
                   : distance <= 0.5  ? 1
                                      : 0);
    }
  }

 private:
  void ToMain(uint32_t page, int credit) {
    credit_[page] = static_cast<int8_t>(credit);
    rounds_[page] = static_cast<int8_t>(rule_.rounds ? (1 << credit) - 1 : 0);
    lists_.Add(page, kActive);
  }
  // ARC's: what came back from where says which should have been larger.
  void Adapt(bool main) {
    (main ? from_main_ : from_probation_) += 1;
    from_main_ *= 0.999;
    from_probation_ *= 0.999;
    probation_ += main ? -std::max(1.0, from_probation_ / from_main_)
                       : std::max(1.0, from_main_ / from_probation_);
    probation_ =
        std::clamp(probation_, 0.05 * trace_.memory, 0.95 * trace_.memory);
  }

  const QueuesRule rule_;
  double probation_;  // Pages.
  double from_main_ = 1, from_probation_ = 1;
  std::vector<int8_t> credit_, rounds_;
  std::vector<bool> was_main_;
};

}  // namespace

PolicyCost RunInOrder(const PolicyTrace& trace, bool lru) {
  PolicyCost cost;
  Lists lists(trace.pages);
  std::vector<bool> touched(trace.pages);
  for (const uint32_t page : trace.accesses) {
    if (lists.On(page) != Lists::kNone) {
      if (!lru) continue;
      lists.Del(page);
    } else {
      ++(touched[page] ? cost.hard : cost.first);
      touched[page] = true;
      if (lists.total() >= trace.memory) {
        lists.TakeTail(kInactive);
        ++cost.unmaps;
      }
    }
    lists.Add(page, kInactive);
  }
  return cost;
}

PolicyCost RunTwoLists(const PolicyTrace& trace, const TwoListsRule& rule) {
  return TwoLists(trace, rule).Run();
}

PolicyCost RunQueues(const PolicyTrace& trace, const QueuesRule& rule) {
  return Queues(trace, rule).Run();
}

}  // namespace farswap::bench
