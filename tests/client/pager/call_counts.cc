#include "tests/client/pager/call_counts.h"

#include <dlfcn.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdarg>
#include <cstring>

namespace farswap::pager {
namespace {

std::atomic<uint64_t> ioctls, reads, polls, madvises, locks;

void Count(std::atomic<uint64_t>* calls) {
  char name[16] = {};
  prctl(PR_GET_NAME, name);
  if (std::strcmp(name, "farswap-fault") == 0) calls->fetch_add(1);
}

// The C library's function of that name, behind the one that is defined here.
template <typename Function>
Function* Real(std::atomic<Function*>* cached, const char* name) {
  Function* real = cached->load(std::memory_order_acquire);
  if (real == nullptr) {
    real = reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
    cached->store(real, std::memory_order_release);
  }
  return real;
}

using LockMutex = int(pthread_mutex_t*);
using LockShared = int(pthread_rwlock_t*);
std::atomic<LockMutex*> lock_mutex;
std::atomic<LockShared*> lock_read, lock_write;

}  // namespace

CallCounts CallsOfWorkers() { return {ioctls, reads, polls, madvises, locks}; }

}  // namespace farswap::pager

namespace fp = farswap::pager;

extern "C" {

// Defined under names of their own, and linked under those of the C library,
// whose headers declare them with other parameters' names.
int CountedIoctl(int fd, uint64_t request, ...) asm("ioctl");
ssize_t CountedRead(int fd, void* to, size_t bytes) asm("read");
int CountedWait(int set, epoll_event* events, int most,
                int timeout) asm("epoll_wait");
int CountedMadvise(void* at, size_t bytes, int advice) asm("madvise");
int CountedLock(pthread_mutex_t* mutex) asm("pthread_mutex_lock");
int CountedReadLock(pthread_rwlock_t* lock) asm("pthread_rwlock_rdlock");
int CountedWriteLock(pthread_rwlock_t* lock) asm("pthread_rwlock_wrlock");

int CountedIoctl(int fd, uint64_t request, ...) {
  va_list args;
  va_start(args, request);
  void* const arg = va_arg(args, void*);
  va_end(args);
  fp::Count(&fp::ioctls);
  return static_cast<int>(syscall(SYS_ioctl, fd, request, arg));
}

ssize_t CountedRead(int fd, void* to, size_t bytes) {
  fp::Count(&fp::reads);
  return syscall(SYS_read, fd, to, bytes);
}

int CountedWait(int set, epoll_event* events, int most, int timeout) {
  fp::Count(&fp::polls);
  return static_cast<int>(syscall(SYS_epoll_wait, set, events, most, timeout));
}

int CountedMadvise(void* at, size_t bytes, int advice) {
  fp::Count(&fp::madvises);
  return static_cast<int>(syscall(SYS_madvise, at, bytes, advice));
}

int CountedLock(pthread_mutex_t* mutex) {
  fp::Count(&fp::locks);
  return fp::Real(&fp::lock_mutex, "pthread_mutex_lock")(mutex);
}

int CountedReadLock(pthread_rwlock_t* lock) {
  fp::Count(&fp::locks);
  return fp::Real(&fp::lock_read, "pthread_rwlock_rdlock")(lock);
}

int CountedWriteLock(pthread_rwlock_t* lock) {
  fp::Count(&fp::locks);
  return fp::Real(&fp::lock_write, "pthread_rwlock_wrlock")(lock);
}

}  // extern "C"
