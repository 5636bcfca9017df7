#include "client/launcher/run/held_process.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "client/launcher/process/mover_thread.h"
#include "client/launcher/process/socket_io.h"
#include "common/units.h"

namespace farswap::launcher {
namespace {

char* At(uint64_t address) { return reinterpret_cast<char*>(address); }

uint64_t Bytes(const MapRange& range) { return range.end - range.start; }

// `ranges`: by address.
bool Has(const std::vector<MapRange>& ranges, const MapRange& range) {
  const auto at = std::lower_bound(
      ranges.begin(), ranges.end(), range.start,
      [](const MapRange& r, uint64_t start) { return r.start < start; });
  return at != ranges.end() && *at == range;
}

const std::vector<MapRange> kNone;

// What of the range is of none of `others`, by address.
std::vector<MapRange> Without(MapRange range,
                              const std::vector<MapRange>& others) {
  std::vector<MapRange> parts;
  for (const MapRange& other : others) {
    if (other.end <= range.start || range.end <= other.start) continue;
    if (range.start < other.start) parts.push_back({range.start, other.start});
    range.start = std::min(other.end, range.end);
  }
  if (range.start < range.end) parts.push_back(range);
  return parts;
}

}  // namespace

HeldProcess::HeldProcess(pid_t pid, const Hello& hello)
    : hello_(hello),
      map_(MoverThread(pid, hello), {hello.own_start, hello.own_end}) {}

int HeldProcess::Ask(int socket, int device) {
  Command command;
  command.op = Op::kMakeUffd;
  return SendPacket(socket, &command, sizeof(command), device);
}

std::string HeldProcess::Answer(int socket) {
  Reply reply;
  pager::OwnFd fd;
  switch (ReceivePacket(socket, &reply, sizeof(reply), &fd)) {
    case Received::kNothing:
      return "";
    case Received::kEnd:
      return "it has ended";
    case Received::kPacket:
      break;
  }
  if (reply.error != 0) return std::strerror(reply.error);
  if (!fd.valid()) return "it sent no userfaultfd";
  const absl::StatusOr<bool> forks = pager::UffdSpace::Enable(fd.get());
  if (!forks.ok()) return std::string(forks.status().message());
  if (!*forks) return "its forks are told to who has CAP_SYS_PTRACE only";
  uffd_ =
      std::make_unique<pager::UffdProcess>(std::move(fd), At(hello_.transit));
  // As the pager does it: by the tag page a child knows that it is paged for.
  // What cannot be registered now the pager tries again, and says so.
  (void)uffd_->Register(At(hello_.tag_page), kPageBytes);
  (void)uffd_->Register(At(hello_.transit), kTransitBytes);
  Register();
  return "";
}

void HeldProcess::Register() {
  if (!map_.Refresh()) return;  // It is gone.
  // Who changes what is registered waits to tell of it, and nobody reads that.
  const bool unchanged = uffd_->IsAllRead(0);
  for (const MapRange& range : map_.threads()) {
    if (Has(threads_, range)) continue;
    (void)uffd_->Unregister(At(range.start), Bytes(range));
  }
  threads_ = map_.threads();
  std::vector<MapRange> registered;
  for (const MapRange& range : map_.far()) {
    // What is something else by now is found otherwise the next time.
    bool all = true;
    for (const MapRange& part :
         Without(range, unchanged ? registered_ : kNone)) {
      all &= uffd_->RegisterAll(At(part.start), Bytes(part)).ok();
    }
    if (all) registered.push_back(range);
  }
  registered_ = std::move(registered);
}

}  // namespace farswap::launcher
