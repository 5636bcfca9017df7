// An AddressSpace that passes everything on to the real one, but for errors
// that a test asked for, and for what it wants to happen halfway.
#ifndef FARSWAP_TESTS_CLIENT_PAGER_FAULTY_ADDRESS_SPACE_H_
#define FARSWAP_TESTS_CLIENT_PAGER_FAULTY_ADDRESS_SPACE_H_

#include <algorithm>
#include <array>
#include <functional>
#include <utility>
#include <vector>

#include "client/pager/address_space.h"
#include "common/mutex.h"
#include "common/units.h"

namespace farswap::pager {

class FaultyAddressSpace final : public AddressSpace {
 public:
  enum Op {
    kCopyIn,
    kMoveIn,
    kMoveOut,
    kZap,
    kDropTable,
    kPoison,
    kWake,
    kOps
  };

  explicit FaultyAddressSpace(AddressSpace* real) : real_(*real) {}

  // The next `times` operations of that kind do their first `part` bytes, if
  // they are longer than that, and then fail with `error`.
  void FailNext(Op op, int error, size_t part, int times) {
    MutexLock lock(&mu_);
    plans_[op] = {error, part, times};
  }
  // The next operation of that kind that is longer than `part` bytes does
  // these, calls `act` with its address in a region, and then does the rest.
  using Act = std::function<void(char* home)>;
  void InTheMiddleOfNext(Op op, size_t part, Act act) {
    MutexLock lock(&mu_);
    acts_[op] = {part, std::move(act)};
  }
  // Calls `act` once, after the next question whether a range is changing or
  // moving is answered.
  void AfterNextQuestion(std::function<void()> act) {
    MutexLock lock(&mu_);
    after_question_ = std::move(act);
  }
  // How many operations of that kind have failed so.
  int failed(Op op) const {
    MutexLock lock(&mu_);
    return failed_[op];
  }

  OpResult CopyIn(char* to, const char* from, size_t bytes) override {
    return Run(kCopyIn, to, bytes, [&](size_t at, size_t n) {
      return real_.CopyIn(to + at, from + at, n);
    });
  }
  OpResult MoveIn(char* to, char* from, size_t bytes) override {
    return Run(kMoveIn, to, bytes, [&](size_t at, size_t n) {
      return real_.MoveIn(to + at, from + at, n);
    });
  }
  OpResult MoveOut(char* to, char* from, size_t bytes) override {
    return Run(kMoveOut, from, bytes, [&](size_t at, size_t n) {
      return real_.MoveOut(to + at, from + at, n);
    });
  }
  OpResult Unshare(char* at, size_t bytes, uint64_t* opened) override {
    return real_.Unshare(at, bytes, opened);
  }
  OpResult Zap(char* at, size_t bytes) override {
    return Run(kZap, at, bytes,
               [&](size_t from, size_t n) { return real_.Zap(at + from, n); });
  }
  OpResult DropTable(char* block) override {
    return Run(kDropTable, block, kPmdBytes,
               [&](size_t, size_t) { return real_.DropTable(block); });
  }
  void Unmap(char* at, size_t bytes) override { real_.Unmap(at, bytes); }
  OpResult Poison(char* at, size_t bytes) override {
    return Run(kPoison, at, bytes, [&](size_t from, size_t n) {
      return real_.Poison(at + from, n);
    });
  }
  OpResult Wake(char* at, size_t bytes) override {
    return Run(kWake, at, bytes,
               [&](size_t from, size_t n) { return real_.Wake(at + from, n); });
  }
  bool IsPresent(const char* at) override { return real_.IsPresent(at); }
  const char* FirstPresent(const char* at, const char* end) override {
    return real_.FirstPresent(at, end);
  }
  const char* FirstAbsent(const char* at, const char* end) override {
    return real_.FirstAbsent(at, end);
  }
  bool IsHuge(const char* at) override { return real_.IsHuge(at); }
  bool IsChanging(const char* at, size_t bytes) override {
    return Answered(real_.IsChanging(at, bytes));
  }
  bool IsMoving(const char* at, size_t bytes) override {
    return Answered(real_.IsMoving(at, bytes));
  }
  bool Settled(const char* at, size_t bytes) override {
    return real_.Settled(at, bytes);
  }
  bool IsAllRead(size_t untold) override { return real_.IsAllRead(untold); }
  size_t CountUntold() override { return real_.CountUntold(); }
  bool GiveForked(char* to, const char* from) override {
    return real_.GiveForked(to, from);
  }
  void Applied(const MapEvent& change) override { real_.Applied(change); }
  std::vector<char*> TakeLacked(int child) override {
    return real_.TakeLacked(child);
  }

 private:
  struct Plan {
    int error = 0;
    size_t part = 0;
    int times = 0;
  };

  bool Take(Op op, Plan* plan) {
    MutexLock lock(&mu_);
    if (plans_[op].times == 0) return false;
    --plans_[op].times;
    ++failed_[op];
    *plan = plans_[op];
    return true;
  }

  struct HalfWay {
    size_t part = 0;
    Act act;
  };
  using Real = std::function<OpResult(size_t at, size_t bytes)>;

  OpResult Run(Op op, char* home, size_t bytes, const Real& real) {
    Plan plan;
    if (!Take(op, &plan)) return RunInHalves(op, home, bytes, real);
    const size_t part = plan.part < bytes ? plan.part : 0;
    if (part > 0) {
      const OpResult result = real(0, part);
      if (!result.ok()) return result;
    }
    return {plan.error, part};
  }

  OpResult RunInHalves(Op op, char* home, size_t bytes, const Real& real) {
    HalfWay half;
    {
      MutexLock lock(&mu_);
      if (acts_[op].part < bytes) half = std::exchange(acts_[op], {});
    }
    if (!half.act) return real(0, bytes);
    const OpResult first = real(0, half.part);
    if (!first.ok()) return first;
    half.act(home);
    const OpResult rest = real(half.part, bytes - half.part);
    return {rest.error, half.part + rest.done};
  }

  bool Answered(bool answer) {
    std::function<void()> act;
    {
      MutexLock lock(&mu_);
      act = std::exchange(after_question_, nullptr);
    }
    if (act) act();
    return answer;
  }

  AddressSpace& real_;
  mutable Mutex mu_;
  std::array<Plan, kOps> plans_ ABSL_GUARDED_BY(mu_);
  std::array<HalfWay, kOps> acts_ ABSL_GUARDED_BY(mu_);
  std::function<void()> after_question_ ABSL_GUARDED_BY(mu_);
  std::array<int, kOps> failed_ ABSL_GUARDED_BY(mu_) = {};
};

}  // namespace farswap::pager

#endif  // FARSWAP_TESTS_CLIENT_PAGER_FAULTY_ADDRESS_SPACE_H_
