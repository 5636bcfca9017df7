// What tests run under farswap-run, as the first argument says. `grow` BYTES:
// writes so much memory, says "grown", waits for the end of stdin. `report`:
// says what it inherited. `fds`: says on stderr which descriptors it has.
// `static`, where this is linked so: waits as `grow` does.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

void WaitForEnd() {
  char byte;
  while (read(STDIN_FILENO, &byte, 1) > 0) {
  }
}

int Grow(const char* bytes) {
  const size_t size = std::strtoull(bytes, nullptr, 10);
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return 3;
  std::memset(memory, 1, size);
  std::puts("grown");
  std::fflush(stdout);
  WaitForEnd();
  return 0;
}

std::string Descriptors() {
  std::string fds = "fds";
  for (int fd = 0; fd < 1024; ++fd) {
    if (fcntl(fd, F_GETFD) >= 0) fds += " " + std::to_string(fd);
  }
  return fds;
}

int Report() {
  std::puts(Descriptors().c_str());
  sigset_t mask;
  sigprocmask(SIG_BLOCK, nullptr, &mask);
  for (int signal = 1; signal < NSIG; ++signal) {
    struct sigaction action {};
    if (sigismember(&mask, signal) == 1) std::printf("blocked %d\n", signal);
    if (sigaction(signal, nullptr, &action) != 0) continue;
    if (action.sa_handler == SIG_IGN) std::printf("ignored %d\n", signal);
  }
  const char* preload = std::getenv("LD_PRELOAD");
  std::printf("LD_PRELOAD=%s\n", preload == nullptr ? "" : preload);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3 && std::strcmp(argv[1], "grow") == 0) return Grow(argv[2]);
  if (argc == 2 && std::strcmp(argv[1], "report") == 0) return Report();
  if (argc == 2 && std::strcmp(argv[1], "fds") == 0) {
    std::fprintf(stderr, "%s\n", Descriptors().c_str());
    return 0;
  }
  if (argc == 2 && std::strcmp(argv[1], "static") == 0) {
    std::puts("static");
    std::fflush(stdout);
    WaitForEnd();
    return 0;
  }
  return 2;
}
