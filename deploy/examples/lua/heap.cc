#include "deploy/examples/lua/heap.h"

#include <errno.h>
#include <sys/mman.h>

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/units.h"

namespace farswap::farlua {
namespace {

// Clusters of the private server beyond the heap: those being filled while
// others empty.
constexpr uint64_t kServerSlack = uint64_t{256} << 20;

absl::Status StatusOf(const Error& error) {
  return absl::UnknownError(
      absl::StrCat(error.message(), " (", farswap_strerror(error.code()), ")"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Heap>> Heap::Create(const Options& options) {
  std::unique_ptr<Heap> heap(new Heap);
  absl::Status status =
      options.plain ? heap->OpenPlain(options) : heap->OpenFar(options);
  if (!status.ok()) return status;
  auto arena = runtime::FarArena::Create(heap->address_, heap->length_);
  if (!arena.ok()) return arena.status();
  heap->arena_ = *std::move(arena);
  return heap;
}

absl::Status Heap::OpenFar(const Options& options) {
  ClientOptions client_options;
  client_options.servers = options.servers;
  client_options.fault_deadline = options.fault_deadline;
  client_options.metrics_listen = options.metrics_listen;
  if (options.servers.empty()) {
    runtime::PrivateServerOptions server_options;
    server_options.capacity_bytes =
        AlignUp(options.heap, kClusterBytes) + kServerSlack;
    auto server = runtime::PrivateServer::Start(server_options);
    if (!server.ok()) return server.status();
    server_ = *std::move(server);
    client_options.servers = server_->address();
  }
  auto client = Client::Open(client_options);
  if (!client) return StatusOf(client.error());
  client_ = *std::move(client);
  auto group = client_->CreateGroup(options.local_memory);
  if (!group) return StatusOf(group.error());
  group_ = *std::move(group);
  RegionOptions region_options;
  region_options.bytes = options.heap;
  // Lua's objects are small and lie where there was room: a fault wants one of
  // them, seldom its neighbours in 2 MiB.
  region_options.huge = false;
  auto region = group_->CreateRegion(region_options);
  if (!region) return StatusOf(region.error());
  region_ = *std::move(region);
  address_ = region_->data();
  length_ = region_->size();
  return absl::OkStatus();
}

// As much like a region as plain memory gets: the same alignment, 2 MiB pages
// where the kernel has them.
absl::Status Heap::OpenPlain(const Options& options) {
  length_ = AlignUp(options.heap, kPmdBytes);
  plain_length_ = length_ + kPmdBytes;
  void* const raw = mmap(nullptr, plain_length_, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (raw == MAP_FAILED) {
    return absl::ErrnoToStatus(errno, "cannot map the heap");
  }
  plain_ = raw;
  address_ = reinterpret_cast<char*>(
      AlignUp(reinterpret_cast<uintptr_t>(raw), kPmdBytes));
  // EINVAL where the kernel has no huge pages: then there are none.
  madvise(address_, length_, MADV_HUGEPAGE);
  return absl::OkStatus();
}

Heap::~Heap() {
  arena_.reset();
  if (plain_ != nullptr) munmap(plain_, plain_length_);
}

void* Heap::Allocate(void* heap, void* p, size_t old_bytes, size_t new_bytes) {
  // For a new block Lua passes the kind of object in old_bytes.
  return static_cast<Heap*>(heap)->Resize(p, p == nullptr ? 0 : old_bytes,
                                          new_bytes);
}

void* Heap::Resize(void* p, size_t old_bytes, size_t new_bytes) {
  void* moved = nullptr;
  if (new_bytes == 0) {
    if (p != nullptr) arena_->Free(p, old_bytes);
  } else {
    moved = p == nullptr ? arena_->Allocate(new_bytes)
                         : arena_->Reallocate(p, new_bytes);
    if (moved == nullptr) return nullptr;
  }
  bytes_ += new_bytes - old_bytes;
  peak_bytes_ = std::max(peak_bytes_, bytes_);
  return moved;
}

std::string Heap::StatsJson() const {
  return client_.has_value() ? client_->StatsJson() : "{}";
}

}  // namespace farswap::farlua
