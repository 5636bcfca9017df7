// What the handles of the C API are, and what every function of it does first
// and last.
#ifndef FARSWAP_CLIENT_RUNTIME_HANDLES_H_
#define FARSWAP_CLIENT_RUNTIME_HANDLES_H_

#include <unistd.h>

#include <atomic>
#include <exception>
#include <memory>
#include <new>

#include "absl/status/status.h"
#include "client/pager/pager.h"
#include "client/runtime/farswap.h"
#include "client/runtime/fork_handlers.h"
#include "client/runtime/metrics_page.h"
#include "client/runtime/status_errno.h"

// A child is destroyed before its parent, which counts its children.
struct farswap_client {
  std::unique_ptr<farswap::pager::Pager> pager;
  std::unique_ptr<farswap::runtime::ForkHandlers> forks;
  // Asks the pager, so it ends first. Null: nobody listens.
  std::unique_ptr<farswap::runtime::MetricsPage> metrics;
  const pid_t process = getpid();
  std::atomic<int> groups{0};
};

struct farswap_group {
  farswap_client* client;
  farswap_group* parent;  // Or null.
  farswap::pager::Group* group;
  std::atomic<int> regions{0};
  std::atomic<int> groups{0};  // Below it.
};

struct farswap_region {
  farswap_group* group;
  farswap::pager::Region* region;
};

namespace farswap::runtime {

// Our code does not throw, but the libraries below it may run out of memory,
// and no exception may cross into C or end a thread.
template <typename Body>
absl::Status Guarded(Body&& body) noexcept {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError("out of memory");
  } catch (const std::exception& e) {
    return absl::InternalError(e.what());
  } catch (...) {
    return absl::InternalError("unknown exception");
  }
}

// Runs the body of a function of the API.
template <typename Body>
int Call(Body&& body) noexcept {
  return Report(Guarded(body));
}

absl::Status Null(const char* what);
absl::Status Forked();

// Whose memory and threads a client is of: a forked child has but a copy of
// the handle, and what it would close is its parent's session.
absl::Status Usable(const farswap_client* client);

}  // namespace farswap::runtime

#endif  // FARSWAP_CLIENT_RUNTIME_HANDLES_H_
