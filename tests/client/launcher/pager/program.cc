// A program that knows nothing of far memory, for tests of its pager: does what
// it is told by name with so many MiB, and exits with what program.h says.
#include "tests/client/launcher/pager/program.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace farswap::program {

Memory::Memory(size_t mib) : words_(mib * 131072) {
  void* const at = mmap(nullptr, bytes(), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) _exit(kCannot);
  data_ = static_cast<uint64_t*>(at);
}

Memory::~Memory() { munmap(data_, bytes()); }

void Memory::Fill(uint64_t pass) {
  for (size_t i = 0; i < words_; ++i) data_[i] = Mix(i, pass);
}

bool Memory::IsRight(uint64_t pass, size_t first, size_t end) const {
  for (size_t i = first; i < end; ++i) {
    if (data_[i] == Mix(i, pass)) continue;
    std::fprintf(stderr, "word %zu is %lx, not %lx\n", i, data_[i],
                 Mix(i, pass));
    return false;
  }
  return true;
}

int StatusOf(int pid) {
  int status = 0;
  if (pid < 0 || waitpid(pid, &status, 0) != pid) return kCannot;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}

namespace {

constexpr size_t kPageWords = 512;

int Verdict(bool right) { return right ? kRight : kWrong; }

int Touch(size_t mib) {
  Memory memory(mib);
  memory.Fill(0);
  for (int pass = 0; pass < 3; ++pass) {
    if (!memory.IsRight(0)) return kWrong;
  }
  return kRight;
}

// By realloc, as a growing array: large ones are moved by mremap.
int Grow(size_t mib) {
  const size_t words = mib * 131072;
  uint64_t* data = nullptr;
  size_t room = 0;
  for (size_t i = 0; i < words; ++i) {
    if (i == room) {
      room = room == 0 ? 65536 : room + room / 4;
      data = static_cast<uint64_t*>(std::realloc(data, room * 8));
      if (data == nullptr) return kCannot;
    }
    data[i] = Mix(i, 0);
  }
  bool right = true;
  for (size_t i = 0; i < words && right; ++i) {
    right = data[i] == Mix(i, 0);
    if (!right)
      std::fprintf(stderr, "word %zu (%p) is %lx\n", i,
                   static_cast<void*>(data + i), data[i]);
  }
  std::free(data);
  return Verdict(right);
}

// Grows by new mappings only: each is touched at once, before anyone finds it.
int Pieces(size_t mib) {
  constexpr size_t kBytes = 256 << 10;
  constexpr size_t kWords = kBytes / sizeof(uint64_t);
  std::vector<uint64_t*> pieces;
  for (size_t i = 0; i < (mib << 20) / kBytes; ++i) {
    void* const at = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) return kCannot;
    pieces.push_back(static_cast<uint64_t*>(at));
    for (size_t w = 0; w < kWords; ++w) pieces[i][w] = Mix(w, i);
  }
  bool right = true;
  for (size_t i = 0; i < pieces.size(); ++i) {
    for (size_t w = 0; w < kWords; ++w) right &= pieces[i][w] == Mix(w, i);
  }
  return Verdict(right);
}

int Child(Memory* memory, uint64_t pass) {
  if (!memory->IsRight(pass)) return kWrong;
  memory->Fill(pass + 100);
  return Verdict(memory->IsRight(pass + 100));
}

// The parent writes while the child reads what was there before, and writes.
int Fork(size_t mib) {
  Memory memory(mib);
  memory.Fill(0);
  for (uint64_t pass = 0; pass < 2; ++pass) {
    const pid_t child = fork();
    if (child == 0) _exit(Child(&memory, pass));
    memory.Fill(pass + 1);
    if (const int status = StatusOf(child); status != kRight) return status;
    if (!memory.IsRight(pass + 1)) return kWrong;
  }
  return kRight;
}

// A raw clone runs no handler.
int RawClone(size_t mib) {
  Memory memory(mib);
  memory.Fill(0);
  const auto child =
      static_cast<pid_t>(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
  if (child == 0) _exit(Verdict(memory.IsRight(0)));
  const int status = StatusOf(child);
  return status != kRight ? status : Verdict(memory.IsRight(0));
}

// The child outlives its parent; what it finds goes to a pipe that is a
// grandparent's.
int Orphan(size_t mib) {
  int ends[2];
  if (pipe(ends) != 0) return kCannot;
  const pid_t parent = fork();
  if (parent == 0) {
    Memory memory(mib);
    memory.Fill(0);
    const pid_t self = getpid();
    if (fork() != 0) _exit(0);
    // Until its parent has ended.
    while (getppid() == self && memory.IsRight(0, 0, kPageWords)) sched_yield();
    const auto status = static_cast<char>(Child(&memory, 0));
    _exit(write(ends[1], &status, 1) == 1 ? 0 : kCannot);
  }
  close(ends[1]);
  (void)StatusOf(parent);
  char status = kCannot;
  return read(ends[0], &status, 1) == 1 ? status : kCannot;
}

int CloseAll(size_t mib) {
  Memory memory(mib);
  memory.Fill(0);
  if (syscall(SYS_close_range, 3, ~0U, 0) != 0) return kCannot;
  return Verdict(memory.IsRight(0));
}

int SetIds(size_t mib) {
  Memory memory(mib);
  memory.Fill(0);
  if (setgid(65534) != 0 || setuid(65534) != 0) return kCannot;
  memory.Fill(1);
  return Verdict(memory.IsRight(1));
}

int NoHugePages(size_t mib) {
  if (prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) != 0) return kCannot;
  return Touch(mib);
}

int HugePages(size_t mib) {
  Memory memory(mib);
  madvise(memory.data(), memory.bytes(), MADV_HUGEPAGE);
  memory.Fill(0);
  return Verdict(memory.IsRight(0) && memory.IsRight(0));
}

// Stops itself with half of it far; who runs it lets it go on.
int Stop(size_t mib) {
  Memory memory(mib);
  memory.Fill(0);
  raise(SIGSTOP);
  return Verdict(memory.IsRight(0));
}

int Protect(size_t mib) {
  Memory memory(mib);
  memory.Fill(0);
  char* const at = reinterpret_cast<char*>(memory.data());
  const size_t quarter = memory.bytes() / 4;
  if (mprotect(at, quarter, PROT_READ) != 0 ||
      mprotect(at + quarter, quarter, PROT_NONE) != 0) {
    return kCannot;
  }
  // Pushes out what will go.
  Memory other(mib);
  other.Fill(7);
  if (!memory.IsRight(0, 0, memory.words() / 4)) return kWrong;
  if (mprotect(at, 2 * quarter, PROT_READ | PROT_WRITE) != 0) return kCannot;
  return Verdict(memory.IsRight(0) && other.IsRight(7));
}

int Lock(size_t mib) {
  Memory memory(mib);
  memory.Fill(0);
  if (mlock(memory.data(), memory.bytes() / 8) != 0) return kCannot;
  Memory other(mib);
  other.Fill(7);
  if (munlock(memory.data(), memory.bytes() / 8) != 0) return kCannot;
  return Verdict(memory.IsRight(0) && other.IsRight(7));
}

// Every third page is discarded: zeros from then on, until it is written.
int Discard(size_t mib) {
  Memory memory(mib);
  memory.Fill(0);
  const size_t pages = memory.words() / kPageWords;
  for (size_t page = 0; page < pages; page += 3) {
    madvise(memory.data() + page * kPageWords, 4096, MADV_DONTNEED);
  }
  for (size_t page = 0; page < pages; ++page) {
    const size_t first = page * kPageWords;
    const uint64_t* const words = memory.data() + first;
    const bool right =
        page % 3 != 0 ? memory.IsRight(0, first, first + kPageWords)
                      : std::all_of(words, words + kPageWords,
                                    [](uint64_t word) { return word == 0; });
    if (!right) return kWrong;
  }
  memory.Fill(1);
  return Verdict(memory.IsRight(1));
}

// Threads come and go, with memory of their own, while there is none to spare.
int Threads(size_t mib) {
  Memory memory(mib);
  memory.Fill(0);
  bool right = true;
  for (int round = 0; round < 20 && right; ++round) {
    std::vector<std::thread> threads;
    bool ok[4] = {};
    for (size_t t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        std::vector<uint64_t> own(mib * 4096);
        for (size_t i = 0; i < own.size(); ++i) own[i] = Mix(i, t);
        bool good = true;
        for (size_t i = 0; i < own.size() && good; ++i) {
          good = own[i] == Mix(i, t);
        }
        ok[t] = good && memory.IsRight(0, t * memory.words() / 4,
                                       (t + 1) * memory.words() / 4);
      });
    }
    for (std::thread& thread : threads) thread.join();
    right = ok[0] && ok[1] && ok[2] && ok[3];
  }
  return Verdict(right);
}

// The first thread ends before the others.
int MainEnds(size_t mib) {
  std::thread([mib] { std::exit(Touch(mib)); }).detach();
  pthread_exit(nullptr);
}

int Exec(size_t mib) {
  Memory memory(mib);
  memory.Fill(0);
  const std::string size = std::to_string(mib);
  execl("/proc/self/exe", "program", "touch", size.c_str(), nullptr);
  return kCannot;
}

// Looks at it for ever.
int Watch(size_t mib) {
  Memory memory(mib);
  memory.Fill(0);
  if (!memory.IsRight(0)) return kWrong;
  std::puts("right");
  std::fflush(stdout);
  while (memory.IsRight(0)) {
  }
  return kWrong;
}

// Into far memory, past the page cache.
int Direct(size_t mib) {
  Memory memory(mib);
  memory.Fill(0);
  char path[] = "/var/tmp/farswap-direct-XXXXXX";
  const int fd = mkostemp(path, O_DIRECT);
  if (fd < 0) return kCannot;
  unlink(path);
  const size_t half = memory.bytes() / 2;
  char* const at = reinterpret_cast<char*>(memory.data());
  constexpr size_t kStep = size_t{1} << 20;
  for (size_t done = 0; done < half; done += kStep) {
    if (pwrite(fd, at + done, kStep, static_cast<off_t>(done)) !=
            static_cast<ssize_t>(kStep) ||
        pread(fd, at + half + done, kStep, static_cast<off_t>(done)) !=
            static_cast<ssize_t>(kStep)) {
      return kCannot;
    }
  }
  return Verdict(memory.IsRight(0, 0, memory.words() / 2) &&
                 std::memcmp(at, at + half, half) == 0);
}

int Main(int argc, char** argv) {
  const std::map<std::string, std::function<int(size_t)>> all = {
      {"touch", Touch},
      {"grow", Grow},
      {"fork", Fork},
      {"rawclone", RawClone},
      {"orphan", Orphan},
      {"closeall", CloseAll},
      {"setids", SetIds},
      {"nohuge", NoHugePages},
      {"huge", HugePages},
      {"pieces", Pieces},
      {"stop", Stop},
      {"protect", Protect},
      {"lock", Lock},
      {"discard", Discard},
      {"threads", Threads},
      {"mainends", MainEnds},
      {"exec", Exec},
      {"direct", Direct},
      {"watch", Watch},
      {"uring", [](size_t mib) { return Uring(mib, 0, false); }},
      {"uringdirect", [](size_t mib) { return Uring(mib, O_DIRECT, false); }},
      {"uringpoll", [](size_t mib) { return Uring(mib, 0, true); }},
      {"uringfixed", UringFixed},
  };
  if (argc != 3 || all.count(argv[1]) == 0) return kCannot;
  return all.at(argv[1])(std::strtoul(argv[2], nullptr, 10));
}

}  // namespace
}  // namespace farswap::program

int main(int argc, char** argv) { return farswap::program::Main(argc, argv); }
