// What farswap-pager hears and says, without the rest. It writes a line for
// each thing that happens to the FIFO $FAKE_PAGER_LOG, and does what it reads
// from the FIFO $FAKE_PAGER_ORDERS: "ready", "fail", "die". Without the latter
// it is ready at once.
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "client/launcher/pager_wire.h"

namespace {

using farswap::launcher::Control;
using farswap::launcher::Hello;
using farswap::launcher::kControlFd;

int log_fd = -1;
int orders = -1;
int listener = -1;
int control_fd = kControlFd;
std::vector<int> processes;
bool bye = false;

void Log(const std::string& line) {
  const std::string text = line + "\n";
  if (write(log_fd, text.data(), text.size()) < 0) _exit(3);
}

void Say(Control::Kind kind) {
  Control control;
  control.kind = kind;
  send(kControlFd, &control, sizeof(control), MSG_NOSIGNAL);
}

void LogStart(int argc, char** argv) {
  std::string fds;
  for (int fd = 0; fd < 1024; ++fd) {
    if (fcntl(fd, F_GETFD) >= 0) fds += " " + std::to_string(fd);
  }
  log_fd = open(std::getenv("FAKE_PAGER_LOG"), O_WRONLY | O_CLOEXEC);
  std::string line = "start";
  for (int i = 1; i < argc; ++i) line += std::string(" ") + argv[i];
  Log(line);
  Log("fds" + fds);
  Log(getsid(0) == getpid() ? "leads its session" : "is of another session");
  Log(std::getenv("FARSWAP_RUN") == nullptr ? "no FARSWAP_RUN" : "FARSWAP_RUN");
  sigset_t mask;
  sigprocmask(SIG_BLOCK, nullptr, &mask);
  Log(sigismember(&mask, SIGTERM) != 0 ? "SIGTERM blocked" : "no SIGTERM mask");
}

// The descriptor that came along; -1: none.
int Receive(Control* control, ssize_t* bytes) {
  iovec data{control, sizeof(*control)};
  alignas(cmsghdr) char ancillary[CMSG_SPACE(sizeof(int))];
  msghdr header{};
  header.msg_iov = &data;
  header.msg_iovlen = 1;
  header.msg_control = ancillary;
  header.msg_controllen = sizeof(ancillary);
  *bytes = recvmsg(kControlFd, &header, MSG_CMSG_CLOEXEC);
  const cmsghdr* rights = *bytes > 0 ? CMSG_FIRSTHDR(&header) : nullptr;
  if (rights == nullptr) return -1;
  int fd = -1;
  std::memcpy(&fd, CMSG_DATA(rights), sizeof(fd));
  return fd;
}

// Who has connected and was not accepted is not gone.
void EndIfAllAreGone() {
  pollfd waiting{listener, POLLIN, 0};
  if (!processes.empty() || poll(&waiting, 1, 0) > 0) return;
  Log("all gone");
  _exit(0);
}

bool IsUffd(int fd) {
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  char is[64] = {};
  return readlink(link.c_str(), is, sizeof(is) - 1) > 0 &&
         std::strstr(is, "[userfaultfd]") != nullptr;
}

// What fake_preload says; or the real library, of its mover.
bool IsOf(const Hello& hello, int32_t pid) {
  const std::string thread =
      "/proc/" + std::to_string(pid) + "/task/" + std::to_string(hello.mover);
  return hello.transit == static_cast<uint64_t>(pid) ||
         access(thread.c_str(), F_OK) == 0;
}

void LogProcess(const Control& control) {
  std::string line = "process " + std::to_string(control.pid);
  if (!IsOf(control.hello, control.pid)) line += " other";
  if (control.uffd == Control::Uffd::kAsked) line += " asked";
  if (control.uffd == Control::Uffd::kSent) line += " sent";
  Log(line);
}

void OnControl() {
  Control control;
  ssize_t bytes = 0;
  const int fd = Receive(&control, &bytes);
  if (bytes <= 0) {
    Log("front gone");
    if (!bye) _exit(1);
    control_fd = -1;
    return;
  }
  if (control.kind == Control::Kind::kListen) {
    listener = fd;
    Log("listen");
  } else if (control.kind == Control::Kind::kProcess) {
    processes.push_back(fd);
    LogProcess(control);
  } else if (control.kind == Control::Kind::kUffd) {
    // It stays open.
    Log(IsUffd(fd) ? "uffd" : "no uffd");
  } else if (control.kind == Control::Kind::kBye) {
    bye = true;
    Log("bye");
    EndIfAllAreGone();
  }
}

void OnListener() {
  const int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
  if (fd < 0) return;
  processes.push_back(fd);
  ucred peer{};
  socklen_t length = sizeof(peer);
  getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length);
  Hello hello;
  if (recv(fd, &hello, sizeof(hello), 0) != sizeof(hello)) return;
  Log("accepted " + std::to_string(peer.pid));
}

void OnOrders() {
  char text[64] = {};
  if (read(orders, text, sizeof(text) - 1) <= 0) return;
  if (std::strstr(text, "ready") != nullptr) Say(Control::Kind::kReady);
  if (std::strstr(text, "fail") != nullptr) Say(Control::Kind::kFailed);
  if (std::strstr(text, "fail") != nullptr) _exit(1);
  if (std::strstr(text, "die") != nullptr) _exit(1);
}

// A process that has ended; all of them, after kBye, are the end.
void OnProcess(size_t at) {
  close(processes[at]);
  processes.erase(processes.begin() + static_cast<ptrdiff_t>(at));
  if (bye) EndIfAllAreGone();
}

void Turn() {
  std::vector<pollfd> fds = {
      {control_fd, POLLIN, 0}, {listener, POLLIN, 0}, {orders, POLLIN, 0}};
  for (const int fd : processes) fds.push_back({fd, POLLRDHUP, 0});
  if (poll(fds.data(), fds.size(), 60000) <= 0) _exit(4);
  for (size_t i = fds.size(); i-- > 3;) {
    if (fds[i].revents != 0) OnProcess(i - 3);
  }
  if (fds[2].revents != 0) OnOrders();
  if (fds[1].revents != 0) OnListener();
  if (fds[0].revents != 0) OnControl();
}

}  // namespace

int main(int argc, char** argv) {
  LogStart(argc, argv);
  const char* path = std::getenv("FAKE_PAGER_ORDERS");
  if (path != nullptr) orders = open(path, O_RDWR | O_CLOEXEC);
  if (path == nullptr) Say(Control::Kind::kReady);
  for (;;) Turn();
}
