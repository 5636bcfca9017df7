// An AddressSpace that passes everything on to the real one, but for errors
// that a test asked for.
#ifndef FARSWAP_TESTS_CLIENT_PAGER_FAULTY_ADDRESS_SPACE_H_
#define FARSWAP_TESTS_CLIENT_PAGER_FAULTY_ADDRESS_SPACE_H_

#include <algorithm>
#include <array>
#include <functional>

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
  // How many operations of that kind have failed so.
  int failed(Op op) const {
    MutexLock lock(&mu_);
    return failed_[op];
  }

  OpResult CopyIn(char* to, const char* from, size_t bytes) override {
    return Run(kCopyIn, bytes,
               [&](size_t n) { return real_.CopyIn(to, from, n); });
  }
  OpResult MoveIn(char* to, char* from, size_t bytes) override {
    return Run(kMoveIn, bytes,
               [&](size_t n) { return real_.MoveIn(to, from, n); });
  }
  OpResult MoveOut(char* to, char* from, size_t bytes) override {
    return Run(kMoveOut, bytes,
               [&](size_t n) { return real_.MoveOut(to, from, n); });
  }
  OpResult Zap(char* at, size_t bytes) override {
    return Run(kZap, bytes, [&](size_t n) { return real_.Zap(at, n); });
  }
  OpResult DropTable(char* block) override {
    return Run(kDropTable, kPmdBytes,
               [&](size_t) { return real_.DropTable(block); });
  }
  void Unmap(char* at, size_t bytes) override { real_.Unmap(at, bytes); }
  OpResult Poison(char* at, size_t bytes) override {
    return Run(kPoison, bytes, [&](size_t n) { return real_.Poison(at, n); });
  }
  OpResult Wake(char* at, size_t bytes) override {
    return Run(kWake, bytes, [&](size_t n) { return real_.Wake(at, n); });
  }
  bool IsPresent(const char* at) override { return real_.IsPresent(at); }
  const char* FirstPresent(const char* at, const char* end) override {
    return real_.FirstPresent(at, end);
  }
  bool IsHuge(const char* at) override { return real_.IsHuge(at); }
  bool IsChanging(const char* at, size_t bytes) override {
    return real_.IsChanging(at, bytes);
  }
  bool IsMoving(const char* at, size_t bytes) override {
    return real_.IsMoving(at, bytes);
  }
  bool Settled(const char* at, size_t bytes) override {
    return real_.Settled(at, bytes);
  }
  bool IsAllRead(size_t untold) override { return real_.IsAllRead(untold); }
  void Applied(const MapEvent& change) override { real_.Applied(change); }

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

  OpResult Run(Op op, size_t bytes,
               const std::function<OpResult(size_t)>& real) {
    Plan plan;
    if (!Take(op, &plan)) return real(bytes);
    const size_t part = plan.part < bytes ? plan.part : 0;
    if (part > 0) {
      const OpResult result = real(part);
      if (!result.ok()) return result;
    }
    return {plan.error, part};
  }

  AddressSpace& real_;
  mutable Mutex mu_;
  std::array<Plan, kOps> plans_ ABSL_GUARDED_BY(mu_);
  std::array<int, kOps> failed_ ABSL_GUARDED_BY(mu_) = {};
};

}  // namespace farswap::pager

#endif  // FARSWAP_TESTS_CLIENT_PAGER_FAULTY_ADDRESS_SPACE_H_
