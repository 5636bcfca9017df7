// Finds what has become a process's own since it was made far: what it shared
// with its parent, a child, or before it was paged for.
//
// Of that the kernel tells nothing, so all page maps are compared with the
// kernel's from time to time, in a thread that takes a part of a processor
// only, however large the processes are.
//
// Thread-safe.
#ifndef FARSWAP_CLIENT_PAGER_TREE_ADOPTER_H_
#define FARSWAP_CLIENT_PAGER_TREE_ADOPTER_H_

#include <chrono>
#include <thread>
#include <unordered_map>

#include "absl/status/status.h"
#include "client/pager/tree/process_mm.h"
#include "client/pager/tree/tree_source.h"
#include "common/mutex.h"

namespace farswap::pager {

class Adopter {
 public:
  explicit Adopter(const TreeSource* source) : source_(*source) {}
  ~Adopter() { Stop(); }
  Adopter(const Adopter&) = delete;
  Adopter& operator=(const Adopter&) = delete;

  // ResourceExhausted: there is no thread left.
  absl::Status Start();
  void Stop();

 private:
  using Time = std::chrono::steady_clock::time_point;

  void Run();
  // Those that are due; forgets those that are gone.
  void Pass();

  const TreeSource& source_;
  // When the process of that id is next; the thread's.
  std::unordered_map<uint64_t, Time> due_;
  Mutex mu_;
  CondVar stop_asked_;
  bool stop_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_TREE_ADOPTER_H_
