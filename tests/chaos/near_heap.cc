// A heap that is not far memory, whoever pages for the process: the model of
// what far memory has to read as is not to be lost with it. It is of a private
// mapping of a file, so that a forked child has its own.
//
// malloc and its kin, as the whole process has them. Nothing is used again: it
// is for programs that allocate little.
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>

namespace {

constexpr size_t kHeapBytes = size_t{256} << 20;
constexpr size_t kAlignment = 16;

// Before each piece, so that realloc knows it.
struct alignas(kAlignment) Header {
  size_t bytes;
};

char* MapHeap() {
  const int file = memfd_create("near heap", MFD_CLOEXEC);
  if (file < 0 || ftruncate(file, kHeapBytes) != 0) _exit(3);
  void* const at =
      mmap(nullptr, kHeapBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
  close(file);
  if (at == MAP_FAILED) _exit(3);
  return static_cast<char*>(at);
}

char* Heap() {
  static std::atomic<char*> heap{nullptr};
  // The first call is before there are threads.
  if (heap.load() == nullptr) heap.store(MapHeap());
  return heap.load();
}

}  // namespace

extern "C" {

void* malloc(size_t size) {
  static std::atomic<size_t> used{0};
  const size_t piece =
      sizeof(Header) + (size + kAlignment - 1) / kAlignment * kAlignment;
  const size_t at = used.fetch_add(piece);
  if (piece < size || at + piece > kHeapBytes) {
    errno = ENOMEM;
    return nullptr;
  }
  auto* const header = reinterpret_cast<Header*>(Heap() + at);
  header->bytes = size;
  return header + 1;
}

void free(void*) {}

// It is zeros: it is of a file that is all hole, and used once.
void* calloc(size_t nmemb, size_t size) {
  size_t all = 0;
  return __builtin_mul_overflow(nmemb, size, &all) ? nullptr : malloc(all);
}

void* realloc(void* ptr, size_t size) {
  void* const grown = malloc(size);
  if (ptr == nullptr || grown == nullptr) return grown;
  const size_t had = (static_cast<Header*>(ptr) - 1)->bytes;
  std::memcpy(grown, ptr, had < size ? had : size);
  return grown;
}

}  // extern "C"
