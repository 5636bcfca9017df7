// A program that knows nothing of far memory. Does what it reads, line by line,
// and answers each with a line.
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

constexpr size_t kPage = 4096;
constexpr size_t kPages = 64;
volatile uint64_t* memory;

uint64_t Word(size_t i) { return i * 2654435761U + 1; }  // Never 0.

size_t BadWords() {
  size_t bad = 0;
  for (size_t i = 0; i < kPages * kPage / 8; ++i) bad += memory[i] != Word(i);
  return bad;
}

void Memory() {
  void* const at = mmap(nullptr, kPages * kPage, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memory = static_cast<volatile uint64_t*>(at);
  for (size_t i = 0; i < kPages * kPage / 8; ++i) memory[i] = Word(i);
  dprintf(1, "%lu\n", reinterpret_cast<uint64_t>(at));
}

int Status(pid_t child) {
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

void Fork() {
  const pid_t child = fork();
  if (child == 0) {
    dprintf(1, "child\n");  // It goes on with the lines that come.
    return;
  }
  dprintf(1, "status %d\n", Status(child));
}

// For ever: an odd answer is one that nobody may get.
void Peek() {
  for (size_t page = 0;; page = (page + 1) % kPages) {
    const size_t word = page * kPage / 8;
    const uint64_t read = memory[word];
    if (read != Word(word)) dprintf(1, "wrong %lu\n", read);
  }
}

void* ExitLater(void*) {
  usleep(20000);
  return nullptr;
}

// The process ends with its last thread.
void LeaveMain() {
  pthread_t other;
  pthread_create(&other, nullptr, ExitLater, nullptr);
  pthread_exit(nullptr);
}

void* ExecNow(void*) {
  execl("/bin/sh", "sh", "-c", "exit 9", nullptr);
  return nullptr;
}

void ExecFromThread() {
  pthread_t other;
  pthread_create(&other, nullptr, ExecNow, nullptr);
  for (;;) pause();
}

void Do(const char* what) {
  const auto is = [what](const char* name) { return strcmp(what, name) == 0; };
  if (is("memory")) return Memory();
  if (is("check")) dprintf(1, "%zu\n", BadWords());
  if (is("fork")) return Fork();
  if (is("peek")) return Peek();
  if (is("close")) dprintf(1, "%d\n", close_range(3, ~0U, 0));
  if (is("nobody")) dprintf(1, "%d\n", setgid(65534) + setuid(65534));
  if (is("dumpable")) dprintf(1, "%d\n", prctl(PR_GET_DUMPABLE));
  if (is("leave")) LeaveMain();
  if (is("exec")) ExecFromThread();
  if (is("raw exit")) syscall(SYS_exit, 5);
  if (is("abort")) abort();
  if (is("exit")) exit(7);
  if (is("ping")) dprintf(1, "pong\n");
}

}  // namespace

int main() {
  char line[64];
  size_t at = 0;
  while (read(0, line + at, 1) == 1) {
    if (line[at] != '\n') {
      at += at < sizeof(line) - 1 ? 1 : 0;
      continue;
    }
    line[at] = '\0';
    at = 0;
    Do(line);
  }
  return 0;
}
