#include "client/pager/uffd_message.h"

#include <sys/mman.h>
#include <unistd.h>

#include "client/pager/uffd_abi.h"
#include "common/log_raw.h"

namespace farswap::pager {
namespace {

char* At(uint64_t address) { return reinterpret_cast<char*>(address); }

Message FaultOf(const uffd_msg& msg) {
  const uint64_t flags = msg.arg.pagefault.flags;
  return {Fault{At(msg.arg.pagefault.address), msg.arg.pagefault.feat.ptid,
                (flags & UFFD_PAGEFAULT_FLAG_WRITE) != 0,
                (flags & UFFD_PAGEFAULT_FLAG_WP) != 0},
          {}};
}

Message ChangeOf(MapEvent change) { return {std::nullopt, change}; }

// Each thread of the program waits for one at a time; but who changes the map
// goes on once its event is read. Address space only; and where that is scarce
// far fewer threads run.
constexpr size_t kMostMessages = size_t{1} << 20;
constexpr size_t kLeastMessages = size_t{1} << 12;

Message Decode(const uffd_msg& msg) {
  using Kind = MapEvent::Kind;
  switch (msg.event) {
    case UFFD_EVENT_PAGEFAULT:
      return FaultOf(msg);
    case UFFD_EVENT_REMOVE:
      return ChangeOf(
          {Kind::kRemove, At(msg.arg.remove.start), At(msg.arg.remove.end)});
    case UFFD_EVENT_UNMAP:
      return ChangeOf(
          {Kind::kUnmap, At(msg.arg.remove.start), At(msg.arg.remove.end)});
    case UFFD_EVENT_REMAP:
      return ChangeOf({Kind::kRemap, At(msg.arg.remap.from),
                       At(msg.arg.remap.from + msg.arg.remap.len),
                       At(msg.arg.remap.to)});
    case UFFD_EVENT_FORK:
      return ChangeOf({Kind::kFork, nullptr, nullptr, nullptr,
                       static_cast<int>(msg.arg.fork.ufd)});
    default:
      DieRaw("userfaultfd tells of an event %d that was not asked for",
             msg.event);
  }
}

}  // namespace

std::optional<Message> ReadMessage(int uffd) {
  uffd_msg msg;
  if (read(uffd, &msg, sizeof(msg)) != sizeof(msg)) return std::nullopt;
  return Decode(msg);
}

RawMessages::~RawMessages() {
  if (place_ != nullptr) munmap(place_, most_ * sizeof(uffd_msg));
}

void RawMessages::Map() {
  for (const size_t most : {kMostMessages, kLeastMessages}) {
    if (place_ != nullptr) return;
    void* const place =
        mmap(nullptr, most * sizeof(uffd_msg), PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (place == MAP_FAILED) continue;
    // Not for the child.
    madvise(place, most * sizeof(uffd_msg), MADV_DONTFORK);
    place_ = place;
    most_ = most;
  }
  if (place_ == nullptr) DieRaw("no address space is left to fork in");
}

bool RawMessages::Read(int uffd) {
  if (count_ == most_) {
    DieRaw("%zu changes of the map while one thread forked", most_);
  }
  uffd_msg* const msg = static_cast<uffd_msg*>(place_) + count_;
  if (read(uffd, msg, sizeof(*msg)) != sizeof(*msg)) return false;
  ++count_;
  has_fork_ |= msg->event == UFFD_EVENT_FORK;
  return true;
}

std::vector<Message> RawMessages::TakeAll() {
  std::vector<Message> all;
  for (size_t i = 0; i < count_; ++i) {
    all.push_back(Decode(static_cast<const uffd_msg*>(place_)[i]));
  }
  count_ = 0;
  has_fork_ = false;
  return all;
}

}  // namespace farswap::pager
