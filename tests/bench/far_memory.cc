#include <cstdlib>

#include "absl/status/status.h"
#include "client/runtime/farswap.h"
#include "tests/bench/memory.h"

namespace farswap::bench {
namespace {

// Client, group and region, from the outside in; undone in reverse by the
// destructor, as far as they got.
class FarMemory : public Memory {
 public:
  ~FarMemory() override {
    if (region_ != nullptr) farswap_region_destroy(region_);
    if (group_ != nullptr) farswap_group_destroy(group_);
    if (client_ != nullptr) farswap_client_close(client_);
  }

  absl::Status Open(uint64_t bytes, const FarOptions& options) {
    farswap_client_options client;
    farswap_client_options_init(&client, sizeof(client));
    client.servers = options.servers.c_str();
    farswap_group_options group;
    farswap_group_options_init(&group, sizeof(group));
    group.local_limit = options.local_limit;
    farswap_region_options region;
    farswap_region_options_init(&region, sizeof(region));
    region.bytes = bytes;
    if (farswap_client_open(&client, &client_) < 0 ||
        farswap_group_create(client_, &group, &group_) < 0 ||
        farswap_region_create(group_, &region, &region_) < 0) {
      return absl::InternalError(farswap_last_error());
    }
    return absl::OkStatus();
  }

  std::byte* data() override {
    return static_cast<std::byte*>(farswap_region_address(region_));
  }

  std::string StatsJson() override {
    char* json = farswap_client_stats_json(client_);
    std::string copy = json == nullptr ? "{}" : json;
    free(json);
    return copy;
  }

 private:
  farswap_client* client_ = nullptr;
  farswap_group* group_ = nullptr;
  farswap_region* region_ = nullptr;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Memory>> MapFar(uint64_t bytes,
                                               const FarOptions& options) {
  auto memory = std::make_unique<FarMemory>();
  if (absl::Status opened = memory->Open(bytes, options); !opened.ok()) {
    return opened;
  }
  return memory;
}

}  // namespace farswap::bench
