// What farswap-run holds: has memory, says where ("here PID MEMORY STACK") and
// waits for SIGUSR1; then it does what the first argument says. A child of it
// has enough for both to be held, until the end of stdin. `late`: has none, and
// gets that itself.
//
// Once it may be held it touches nothing for the first time unless it says so.
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

constexpr size_t kPage = 4096;
constexpr size_t kMemory = size_t{4} << 20;
constexpr size_t kTouchedOfMemory = size_t{2} << 20;
constexpr size_t kStack = size_t{1} << 20;
constexpr size_t kTouchedOfStack = size_t{64} << 10;
constexpr size_t kHeap = size_t{64} << 10;
constexpr size_t kMuch = size_t{40} << 20;
constexpr size_t kLittle = size_t{20} << 20;

char* memory = nullptr;
char* stack = nullptr;

void Say(const char* what) {
  char text[128];
  const int n =
      std::snprintf(text, sizeof(text), "%s %d %p %p\n", what, getpid(),
                    static_cast<void*>(memory), static_cast<void*>(stack));
  if (write(STDOUT_FILENO, text, static_cast<size_t>(n)) < 0) _exit(3);
}

// Apart from its neighbours: the kernel makes one of two that are alike.
char* Map(size_t bytes) {
  void* const all = mmap(nullptr, bytes + 2 * kPage, PROT_NONE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (all == MAP_FAILED) _exit(3);
  char* const at = static_cast<char*>(all) + kPage;
  if (mprotect(at, bytes, PROT_READ | PROT_WRITE) != 0) _exit(3);
  return at;
}

char* Fill(size_t bytes) {
  return static_cast<char*>(std::memset(Map(bytes), 1, bytes));
}

void AwaitSignal() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  int signal = 0;
  sigwait(&set, &signal);
}

void AwaitEnd() {
  char byte;
  while (read(STDIN_FILENO, &byte, 1) > 0) {
  }
}

pthread_t StartThread(void* (*run)(void*)) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstack(&attributes, stack, kStack);
  pthread_t thread;
  if (pthread_create(&thread, &attributes, run, nullptr) != 0) _exit(3);
  return thread;
}

void* DoNothing(void*) { return nullptr; }

void* TouchStack(void*) {
  *static_cast<volatile char*>(stack) = 1;
  Say("thread");
  return nullptr;
}

void* Unmap(void*) {
  munmap(memory, kMemory);
  return nullptr;
}

// While who unmaps it waits to tell of that.
void MapAgain() {
  unsigned char in_core[kMemory / kPage];
  while (mincore(memory, kMemory, in_core) == 0) usleep(100);
  if (mmap(memory, kMemory, PROT_READ | PROT_WRITE,
           MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
           0) != memory) {
    _exit(3);
  }
}

void GetReady(bool late) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  memory = late ? Fill(kLittle) : Map(kMemory);
  std::memset(memory, 1, kTouchedOfMemory);
  stack = Map(kStack);
  std::memset(stack + kStack - kTouchedOfStack, 1, kTouchedOfStack);
  // What libc needs for one it has then, and some of the heap.
  pthread_join(StartThread(DoNothing), nullptr);
  void* const heap = std::malloc(kHeap);
  if (heap == nullptr) _exit(3);
  std::memset(heap, 1, kHeap);
  std::free(heap);
}

void Act(const std::string& action, char* program) {
  if (action == "exit") _exit(7);
  if (action == "fork" && fork() == 0) _exit(0);
  if (action == "unmap") munmap(memory, kMemory);
  if (action == "exec") execl(program, program, "again", nullptr);
  if (action == "thread") pthread_join(StartThread(TouchStack), nullptr);
  if (action == "remap") {
    StartThread(Unmap);
    MapAgain();
    Say("remap");
    // More than it was, so that it is looked at.
    std::memset(memory, 1, kMemory);
  }
  if (action == "late") Fill(kLittle);
  while (action == "map") {
    memory = Map(kMemory);
    Say("map");
    AwaitSignal();
  }
  Say(action.c_str());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const std::string action = argv[1];
  if (action != "again") {
    GetReady(action == "late");
    if (action != "late" && fork() == 0) {
      Fill(kMuch);
      AwaitEnd();
      return 0;
    }
    Say("here");
    AwaitSignal();
  }
  Act(action, argv[0]);
  AwaitEnd();
  return 0;
}
