#include "tests/client/remote/memory_transport.h"

#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <utility>

#include "common/checksum.h"

namespace farswap::remote {
namespace {

void Check(bool ok, const char* rule) {
  if (ok) return;
  std::fprintf(stderr, "MemoryTransport: broken by its caller: %s\n", rule);
  std::abort();
}

void CheckRef(const FolioRef& ref) {
  Check(ref.order >= 0 && ref.order <= kMaxOrder, "order is 0 .. 9");
  Check(ref.slot % PagesOf(ref.order) == 0, "slot is a multiple of 2^order");
  Check(ref.slot < kSlotsPerCluster, "slot is 0 .. 511");
  Check(ref.grant.generation != 0, "a generation is never 0");
}

absl::Status Lost() { return absl::DataLossError("the cluster is gone"); }

}  // namespace

MemoryTransport::MemoryTransport(const Options& options) : options_(options) {
  thread_ = std::thread([this] { PutThread(); });
  MutexLock lock(&mu_);
  while (thread_id_ == 0) changed_.Wait(&mu_);
}

MemoryTransport::~MemoryTransport() {
  Shutdown(Deadline::max());
  {
    MutexLock lock(&mu_);
    stopping_ = true;
    changed_.SignalAll();
  }
  thread_.join();
}

absl::StatusOr<std::vector<core::ClusterGrant>>
MemoryTransport::AllocateClusters(uint32_t count, Deadline deadline) {
  Check(count > 0, "at least one cluster is asked for");
  absl::Status status = Enter(kAllocate, nullptr, deadline);
  if (!status.ok()) return status;
  MutexLock lock(&mu_);
  std::vector<core::ClusterGrant> grants;
  while (grants.size() < count && clusters_.size() < options_.max_clusters) {
    const core::ClusterGrant grant = {next_cluster_++, next_generation_++,
                                      session_};
    char* bytes = static_cast<char*>(std::calloc(1, kClusterBytes));
    Check(bytes != nullptr, "the test has memory");
    clusters_[grant.cluster] = {grant, {bytes, FreeBytes()}};
    grants.push_back(grant);
  }
  if (grants.empty()) return absl::ResourceExhaustedError("the pool is full");
  return grants;
}

absl::Status MemoryTransport::FreeClusters(
    absl::Span<const core::ClusterGrant> grants, Deadline deadline) {
  absl::Status status = Enter(kFree, nullptr, deadline);
  if (!status.ok()) return status;
  MutexLock lock(&mu_);
  for (const core::ClusterGrant& grant : grants) {
    auto it = clusters_.find(grant.cluster);
    if (it != clusters_.end() && it->second.grant == grant) clusters_.erase(it);
  }
  return absl::OkStatus();
}

absl::Status MemoryTransport::Get(absl::Span<const FolioRef> folios,
                                  absl::Span<char> into, Deadline deadline,
                                  GetSink* sink) {
  Check(!folios.empty(), "a get names a folio");
  size_t size = 0;
  for (const FolioRef& ref : folios) {
    CheckRef(ref);
    size += BytesOf(ref.order);
  }
  Check(size == into.size(), "a get's buffer is as long as its folios");
  absl::Status status = Enter(kGet, &folios.front(), deadline);
  if (!status.ok()) return status;
  MutexLock lock(&mu_);
  ++stats_.gets;
  char* to = into.data();
  for (const FolioRef& ref : folios) {
    absl::StatusOr<char*> from = Find(ref);
    if (!from.ok()) return from.status();
    std::memcpy(to, *from, BytesOf(ref.order));
    to += BytesOf(ref.order);
    ++counters_.gets[ref.order];
    stats_.get_bytes += BytesOf(ref.order);
  }
  if (corrupt_gets_ > 0) {
    --corrupt_gets_;
    into[into.size() / 2] ^= 1;
  }
  if (sink != nullptr) sink->Filled(0, into.size());
  return absl::OkStatus();
}

void MemoryTransport::StartPut(PutOp* op) {
  CheckRef(op->ref);
  const uint64_t hash = HashPart(op->data, BytesOf(op->ref.order));
  MutexLock lock(&mu_);
  const uint32_t end = op->ref.slot + PagesOf(op->ref.order);
  for (const auto& [key, other_end] : putting_) {
    Check(key.first != op->ref.grant.cluster || key.second >= end ||
              other_end <= op->ref.slot,
          "one put of a slot at a time");
  }
  putting_[{op->ref.grant.cluster, op->ref.slot}] = end;
  Check(putting_.size() <= static_cast<size_t>(options_.max_puts),
        "at most max_puts() puts are under way");
  puts_.push_back({op, hash});
  changed_.SignalAll();
}

std::vector<int> MemoryTransport::ThreadIds() const {
  MutexLock lock(&mu_);
  return {thread_id_};
}

void MemoryTransport::Shutdown(Deadline deadline) {
  MutexLock lock(&mu_);
  shut_down_ = true;
  changed_.SignalAll();
}

TransportStats MemoryTransport::Stats() const {
  MutexLock lock(&mu_);
  TransportStats stats = stats_;
  stats.connected = !gates_[kGet].closed;
  return stats;
}

void MemoryTransport::Hold(Call call) {
  MutexLock lock(&mu_);
  gates_[call].closed = true;
}

void MemoryTransport::Release(Call call) {
  MutexLock lock(&mu_);
  gates_[call].closed = false;
  gates_[call].tickets = 0;
  changed_.SignalAll();
}

void MemoryTransport::ReleaseOne(Call call) {
  MutexLock lock(&mu_);
  ++gates_[call].tickets;
  changed_.SignalAll();
}

bool MemoryTransport::WaitHeld(Call call, size_t count) {
  const Deadline until =
      std::chrono::steady_clock::now() + std::chrono::seconds(30);
  MutexLock lock(&mu_);
  while (true) {
    // Of puts, one waits at the gate and the others in the queue behind it.
    const Gate& gate = gates_[call];
    const size_t held =
        call == kPut && gate.held > 0 ? puts_.size() : gate.held;
    if (held >= count) return true;
    if (!changed_.WaitUntil(&mu_, until)) return false;
  }
}

size_t MemoryTransport::held(Call call) const {
  MutexLock lock(&mu_);
  return gates_[call].held;
}

void MemoryTransport::FailNext(Call call, const absl::Status& status,
                               int times) {
  MutexLock lock(&mu_);
  gates_[call].fail_status = status;
  gates_[call].fail_times = times;
}

void MemoryTransport::SetHook(Call call,
                              std::function<void(const FolioRef&)> hook) {
  Check(call == kGet || call == kPut, "gets and puts have hooks");
  MutexLock lock(&mu_);
  gates_[call].hook = std::move(hook);
}

void MemoryTransport::CorruptNextGets(int times) {
  MutexLock lock(&mu_);
  corrupt_gets_ = times;
}

void MemoryTransport::LoseContents() {
  MutexLock lock(&mu_);
  clusters_.clear();
  ++session_;
  ++stats_.sessions_lost;
}

MemoryTransport::Counters MemoryTransport::counters() const {
  MutexLock lock(&mu_);
  return counters_;
}

size_t MemoryTransport::granted_clusters() const {
  MutexLock lock(&mu_);
  return clusters_.size();
}

size_t MemoryTransport::puts_under_way() const {
  MutexLock lock(&mu_);
  return putting_.size() + (ending_ ? 1 : 0);
}

absl::Status MemoryTransport::Enter(Call call, const FolioRef* ref,
                                    Deadline deadline) {
  std::function<void(const FolioRef&)> hook;
  {
    MutexLock lock(&mu_);
    hook = gates_[call].hook;
  }
  if (hook != nullptr && ref != nullptr) hook(*ref);
  MutexLock lock(&mu_);
  return WaitAtGate(&gates_[call], deadline);
}

absl::Status MemoryTransport::WaitAtGate(Gate* gate, Deadline deadline) {
  ++gate->held;
  changed_.SignalAll();
  bool in_time = true;
  while (gate->closed && gate->tickets == 0 && !shut_down_ && in_time) {
    if (deadline == Deadline::max()) {
      changed_.Wait(&mu_);
    } else {
      in_time = changed_.WaitUntil(&mu_, deadline);
    }
  }
  --gate->held;
  if (shut_down_) return absl::CancelledError("shut down");
  if (gate->closed && gate->tickets == 0) {
    return absl::DeadlineExceededError("held until the deadline");
  }
  if (gate->closed) --gate->tickets;
  if (gate->fail_times == 0) return absl::OkStatus();
  --gate->fail_times;
  return gate->fail_status;
}

bool MemoryTransport::IsLost(const core::ClusterGrant& grant) const {
  MutexLock lock(&mu_);
  return grant.session != session_;
}

absl::StatusOr<char*> MemoryTransport::Find(const FolioRef& ref) {
  auto it = clusters_.find(ref.grant.cluster);
  if (it == clusters_.end() || !(it->second.grant == ref.grant)) return Lost();
  return it->second.bytes.get() + ref.slot * kPageBytes;
}

void MemoryTransport::PutThread() {
  mu_.Lock();
  thread_id_ = gettid();
  changed_.SignalAll();
  while (true) {
    while (puts_.empty() && !stopping_) changed_.Wait(&mu_);
    if (puts_.empty()) break;
    const Put put = puts_.front();
    mu_.Unlock();
    const absl::Status status = Store(put);
    mu_.Lock();
    puts_.pop_front();
    putting_.erase({put.op->ref.grant.cluster, put.op->ref.slot});
    ending_ = true;
    mu_.Unlock();
    put.op->OnDone(status);  // May start another put, or destroy this one.
    mu_.Lock();
    ending_ = false;
  }
  mu_.Unlock();
}

absl::Status MemoryTransport::Store(const Put& put) {
  const FolioRef ref = put.op->ref;
  absl::Status status = Enter(kPut, &ref, Deadline::max());
  Check(HashPart(put.op->data, BytesOf(ref.order)) == put.hash,
        "bytes stay as they are while their put is under way");
  if (!status.ok()) return status;
  MutexLock lock(&mu_);
  ++stats_.puts;
  absl::StatusOr<char*> to = Find(ref);
  if (!to.ok()) return to.status();
  std::memcpy(*to, put.op->data, BytesOf(ref.order));
  ++counters_.puts[ref.order];
  stats_.put_bytes += BytesOf(ref.order);
  return absl::OkStatus();
}

}  // namespace farswap::remote
