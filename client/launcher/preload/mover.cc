#include "client/launcher/preload/mover.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "client/launcher/preload/raw_calls.h"
#include "client/launcher/preload/uffd_calls.h"

namespace farswap::launcher {
namespace {

// Newer than Debian 12's headers.
constexpr int kDontNeedLocked = 24;
constexpr int kPopulateWrite = 23;
constexpr int kNobody = 65534;

constexpr char kEnded[] =
    "farswap: the pager of this program has ended, and so does it\n";
constexpr char kNoTable[] =
    "farswap: a process cannot have a mover, and its memory stays local\n";

struct Packet {
  Command command;
  int fd = -1;
};

void CloseRange(unsigned from, unsigned to) {
  if (from <= to) RawCall(SYS_close_range, from, to, 0);
}

// Its socket alone; pipes of the program are to end when the program closes
// them.
bool KeepOnly(int socket) {
  const auto kept = static_cast<unsigned>(socket);
  if (kept > 0) CloseRange(0, kept - 1);
  CloseRange(kept + 1, ~0U);
  // If that is forbidden, it has others still.
  return RawCall(SYS_close_range, kept + 1, ~0U, 0) == 0;
}

// All ids of a process are to be seen as before: changing a thread's makes the
// whole of it undumpable.
void DropPrivileges() {
  const long dumpable = RawCall(SYS_prctl, PR_GET_DUMPABLE);
  if (RawCall(SYS_geteuid) == 0) {
    RawCall(SYS_setgroups, 0, nullptr);
    RawCall(SYS_setresgid, kNobody, kNobody, kNobody);
    RawCall(SYS_setresuid, kNobody, kNobody, kNobody);
  }
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct none[2] = {};
  RawCall(SYS_capset, &header, none);
  RawCall(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (dumpable == 1) RawCall(SYS_prctl, PR_SET_DUMPABLE, 1);
}

bool Send(int socket, const void* packet, size_t bytes, int fd) {
  iovec io{const_cast<void*>(packet), bytes};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &io;
  message.msg_iovlen = 1;
  if (fd >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(fd));
    *reinterpret_cast<int*>(CMSG_DATA(header)) = fd;
  }
  return RawCall(SYS_sendmsg, socket, &message, MSG_NOSIGNAL) >= 0;
}

// False: the other side has ended, or sends what is no command.
bool Receive(int socket, Packet* packet) {
  iovec io{&packet->command, sizeof(packet->command)};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &io;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  long n = 0;
  do {
    n = RawCall(SYS_recvmsg, socket, &message, MSG_CMSG_CLOEXEC);
  } while (n == -EINTR);
  packet->fd = -1;
  if (message.msg_controllen >= sizeof(cmsghdr)) {
    const cmsghdr* const header = CMSG_FIRSTHDR(&message);
    packet->fd = *reinterpret_cast<const int*>(CMSG_DATA(header));
  }
  return n == static_cast<long>(sizeof(packet->command));
}

int32_t ErrorOf(long result) {
  return result < 0 ? static_cast<int32_t>(-result) : 0;
}

class Thread {
 public:
  explicit Thread(Mover* mover) : mover_(*mover), socket_(mover->socket) {}

  void Run() {
    if (!KeepOnly(socket_)) return GiveUp();
    RawCall(SYS_chdir, "/");
    RawCall(SYS_prctl, PR_SET_NAME, "farswap-mover");
    DropPrivileges();
    mover_.hello.mover = static_cast<uint32_t>(RawCall(SYS_gettid));
    Send(socket_, &mover_.hello, sizeof(mover_.hello), -1);
    Packet packet;
    while (Receive(socket_, &packet)) Answer(packet);
    EndProcess();
  }

 private:
  // Nothing of this process is far: it goes on without.
  void GiveUp() const {
    if (mover_.hello.tag != 0) EndProcess();
    Say(2, kNoTable);
    RawCall(SYS_exit, 0);
  }

  bool IsTransit(uint64_t at, uint64_t bytes) const {
    const uint64_t start = mover_.hello.transit;
    return at >= start && bytes <= kTransitBytes &&
           at - start <= kTransitBytes - bytes;
  }

  void Answer(const Packet& packet) {
    const Command& command = packet.command;
    Reply reply;
    reply.id = command.id;
    int sent = -1;
    switch (command.op) {
      case Op::kMakeUffd:
        reply.error = Make(packet.fd, &sent);
        break;
      case Op::kTakeUffd:
        reply.error = Take(packet.fd);
        break;
      case Op::kMove:
        Move(command, &reply);
        break;
      case Op::kZap:
        reply.error = Zap(command);
        break;
      case Op::kUnshare:
        reply.error = ErrorOf(
            RawCall(SYS_madvise, command.to, command.bytes, kPopulateWrite));
        break;
      case Op::kPing:
        break;
      default:
        reply.error = EINVAL;
    }
    const bool kept = command.op == Op::kTakeUffd && reply.error == 0;
    if (packet.fd >= 0 && !kept) RawCall(SYS_close, packet.fd);
    Send(socket_, &reply, sizeof(reply), sent);
  }

  int32_t Make(int device, int* sent) {
    if (device < 0 || uffd_ >= 0) return EINVAL;
    const long made = MakeUffd(device);
    if (made < 0) return ErrorOf(made);
    uffd_ = *sent = static_cast<int>(made);
    return 0;
  }

  int32_t Take(int uffd) {
    if (uffd < 0 || uffd_ >= 0) return EINVAL;
    uffd_ = uffd;
    __atomic_store_n(&mover_.taken, 1, __ATOMIC_RELEASE);
    RawCall(SYS_futex, &mover_.taken, FUTEX_WAKE_PRIVATE, 1);
    return 0;
  }

  void Move(const Command& command, Reply* reply) const {
    if (!IsTransit(command.to, command.bytes)) {
      reply->error = EFAULT;
      return;
    }
    UffdMoveArg arg{command.to, command.from, command.bytes, 0, 0};
    reply->error = ErrorOf(MovePages(uffd_, &arg));
    reply->done = arg.moved > 0 ? static_cast<uint64_t>(arg.moved) : 0;
  }

  int32_t Zap(const Command& command) const {
    if (!IsTransit(command.to, command.bytes)) return EFAULT;
    return ErrorOf(
        RawCall(SYS_madvise, command.to, command.bytes, kDontNeedLocked));
  }

  Mover& mover_;
  const int socket_;
  int uffd_ = -1;
};

int RunThread(void* mover) {
  Thread(static_cast<Mover*>(mover)).Run();
  return 0;
}

// Only where the program may open it; it is not kept open, for whoever reads
// it is to see its end.
void SayEnded() {
  char path[32] = "/proc/";
  char digits[12];
  int n = 0;
  for (long pid = RawCall(SYS_getpid); pid > 0; pid /= 10) {
    digits[n++] = static_cast<char>('0' + pid % 10);
  }
  char* at = path + 6;
  while (n > 0) *at++ = digits[--n];
  for (const char* c = "/fd/2"; *c != '\0'; ++c) *at++ = *c;
  *at = '\0';
  const long fd = RawCall(SYS_openat, AT_FDCWD, path,
                          O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY, 0);
  if (fd >= 0) Say(static_cast<int>(fd), kEnded);
}

}  // namespace

void Say(int fd, const char* line) {
  size_t length = 0;
  while (line[length] != '\0') ++length;
  RawCall(SYS_write, fd, line, length);
}

void EndProcess() {
  SayEnded();
  for (;;) RawCall(SYS_kill, RawCall(SYS_getpid), SIGKILL);
}

bool StartMover(Mover* mover) {
  // A thread begins with its maker's mask. Of all signals, libc's own too.
  uint64_t all = ~uint64_t{0};
  uint64_t before = 0;
  RawCall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, sizeof(all));
  const int flags = CLONE_VM | CLONE_SIGHAND | CLONE_THREAD;
  const int saved = errno;
  const int tid = clone(RunThread, mover->stack_end, flags, mover);
  errno = saved;
  RawCall(SYS_rt_sigprocmask, SIG_SETMASK, &before, nullptr, sizeof(before));
  return tid > 0;
}

void AwaitTaken(Mover* mover) {
  // Bounded by the pager's life: if that ends, the mover ends this process.
  while (__atomic_load_n(&mover->taken, __ATOMIC_ACQUIRE) == 0) {
    RawCall(SYS_futex, &mover->taken, FUTEX_WAIT_PRIVATE, 0, nullptr);
  }
}

}  // namespace farswap::launcher
