// The C API: hints.
#include "client/pager/hints.h"
#include "client/runtime/farswap.h"
#include "client/runtime/handles.h"

namespace farswap::runtime {
namespace {

// Runs a hint on the pager's own region.
template <typename Hint>
absl::Status RunHint(const farswap_region* region, Hint&& hint) {
  if (region == nullptr) return Null("region");
  const farswap_client* const client = region->group->client;
  absl::Status status = Usable(client);
  if (!status.ok()) return status;
  return hint(client->pager->hints(), region->region);
}

}  // namespace
}  // namespace farswap::runtime

namespace rt = farswap::runtime;

int farswap_region_pin(farswap_region* region, uint64_t offset,
                       uint64_t bytes) {
  return rt::Call([&] {
    return rt::RunHint(region, [&](auto& hints, auto* of) {
      return hints.Pin(of, offset, bytes);
    });
  });
}

int farswap_region_unpin(farswap_region* region, uint64_t offset,
                         uint64_t bytes) {
  return rt::Call([&] {
    return rt::RunHint(region, [&](auto& hints, auto* of) {
      return hints.Unpin(of, offset, bytes);
    });
  });
}

int farswap_region_prefetch(farswap_region* region, uint64_t offset,
                            uint64_t bytes) {
  return rt::Call([&] {
    return rt::RunHint(region, [&](auto& hints, auto* of) {
      return hints.Prefetch(of, offset, bytes);
    });
  });
}

int farswap_region_cold(farswap_region* region, uint64_t offset,
                        uint64_t bytes) {
  return rt::Call([&] {
    return rt::RunHint(region, [&](auto& hints, auto* of) {
      return hints.Cold(of, offset, bytes).status();
    });
  });
}

int farswap_region_discard(farswap_region* region, uint64_t offset,
                           uint64_t bytes) {
  return rt::Call([&] {
    return rt::RunHint(region, [&](auto& hints, auto* of) {
      return hints.Discard(of, offset, bytes);
    });
  });
}

int farswap_region_residency(const farswap_region* region, uint64_t offset,
                             uint64_t bytes, unsigned char* pages) {
  return rt::Call([&] {
    if (pages == nullptr) return rt::Null("pages");
    return rt::RunHint(region, [&](auto& hints, auto* of) {
      return hints.Residency(of, offset, bytes, pages);
    });
  });
}
