#include "server/pool.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/size.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

namespace farswap::server {
namespace {

std::string Errno() { return std::strerror(errno); }

bool InMemory(const struct statfs& fs) {
  return fs.f_type == TMPFS_MAGIC || fs.f_type == HUGETLBFS_MAGIC;
}

// Whether st_blocks says exactly how much was allocated: a file system that
// compresses counts less.
bool CountsBlocks(const struct statfs& fs) {
  return InMemory(fs) || fs.f_type == EXT4_SUPER_MAGIC ||
         fs.f_type == XFS_SUPER_MAGIC;
}

absl::Status TooLarge(uint64_t clusters, uint64_t has, const char* what) {
  return absl::InvalidArgumentError(absl::StrCat(
      "--capacity=", FormatSize(clusters * kClusterBytes), " is more than ",
      what, " has (", FormatSize(has >> 20 << 20),
      "): lend less, or pass --allow-overcommit"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Pool>> Pool::Open(const Options& options) {
  if (options.clusters == 0 || options.clusters > kMaxClusters) {
    return absl::InvalidArgumentError(
        absl::StrCat("--capacity is out of range: write 2MiB to 1024TiB"));
  }
  std::unique_ptr<Pool> pool(new Pool(options));
  absl::Status status = absl::OkStatus();
  if (pool->anon()) {
    pool->facts_.no_header = "an anonymous pool begins empty";
  } else {
    status = pool->OpenFile();
    if (status.ok()) status = pool->ReadFacts();
  }
  if (status.ok()) status = pool->CheckCapacity();
  if (!status.ok()) return status;
  return pool;
}

Pool::~Pool() {
  if (map_ != nullptr) munmap(map_, map_bytes_);
  if (fd_ >= 0) close(fd_);
}

absl::Status Pool::OpenFile() {
  const std::string& path = options_.pool;
  fd_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  struct stat info;
  if (fd_ < 0 || fstat(fd_, &info) != 0 || !S_ISREG(info.st_mode)) {
    if (fd_ >= 0) errno = EINVAL;
    return absl::InvalidArgumentError(absl::StrCat(
        "cannot use --pool=", path, ": ", Errno(),
        "; write anon, or a file on a tmpfs, a hugetlbfs or a disk"));
  }
  if (flock(fd_, LOCK_EX | LOCK_NB) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("another farswap-server uses --pool=", path,
                     ": stop it, or name another file"));
  }
  return absl::OkStatus();
}

absl::Status Pool::ReadFacts() {
  struct stat info;
  struct statfs fs;
  if (fstat(fd_, &info) != 0 || fstatfs(fd_, &fs) != 0) {
    return absl::InternalError(absl::StrCat(name(), ": ", Errno()));
  }
  // A file that is shorter reads as zeros: blank.
  PoolHeader header = {};
  char marks[sizeof(PoolMarks)] = {};
  if (pread(fd_, &header, sizeof(header), 0) < 0 ||
      pread(fd_, marks, sizeof(marks), kPoolMarksOffset) < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot read --pool=", name(), ": ", Errno()));
  }
  const uint64_t backed = static_cast<uint64_t>(info.st_blocks) * 512;
  HeaderState state = CheckPoolHeader(header);
  if (state == HeaderState::kBlank && !IsBlank(backed)) {
    state = HeaderState::kForeign;
  }
  switch (state) {
    case HeaderState::kForeign:
      return absl::InvalidArgumentError(absl::StrCat(
          "--pool=", name(),
          " holds something else than a farswap pool: remove it, or name "
          "another file"));
    case HeaderState::kBlank:
      facts_.no_header = "the pool file is new";
      break;
    case HeaderState::kDamaged:
      facts_.no_header = "the pool file's header is damaged";
      break;
    case HeaderState::kWhole:
      break;
  }
  uint64_t words[3];
  std::memcpy(words, marks, sizeof(words));
  facts_.server_id = header.server_id;
  facts_.incarnation = header.incarnation;
  facts_.intended = words[0];
  facts_.committed = words[1];
  facts_.clean = words[2] == 1;
  facts_.same_boot = IsSameBoot(header, BootId());
  facts_.on_disk = !InMemory(fs);
  facts_.recorded_clusters = header.clusters;
  const uint64_t size = static_cast<uint64_t>(info.st_size);
  facts_.file_clusters =
      size < kPoolHeaderBytes ? 0 : (size - kPoolHeaderBytes) / kClusterBytes;
  facts_.backed_clusters = std::numeric_limits<uint64_t>::max();
  if (CountsBlocks(fs)) {
    facts_.backed_clusters = backed < kPoolHeaderBytes
                                 ? 0
                                 : (backed - kPoolHeaderBytes) / kClusterBytes;
  }
  return absl::OkStatus();
}

// A disk image begins with zeros too (ext4's boot block has 1024 bytes): what
// the header would overwrite is looked at in full, and what lies behind it is
// left alone if there is any. A first start that was killed has allocated the
// header's 2 MiB, and the file system a few blocks of its own.
bool Pool::IsBlank(uint64_t allocated_bytes) const {
  constexpr uint64_t kSlack = 64 << 10;
  if (allocated_bytes > kPoolHeaderBytes + kSlack) return false;
  std::vector<char> bytes(kPoolHeaderBytes);
  size_t size = 0;
  ssize_t n = 0;
  while ((n = pread(fd_, bytes.data() + size, bytes.size() - size,
                    static_cast<off_t>(size))) > 0) {
    size += static_cast<size_t>(n);
  }
  return n == 0 && std::all_of(bytes.begin(), bytes.end(),
                               [](char byte) { return byte == 0; });
}

absl::Status Pool::CheckCapacity() const {
  if (options_.allow_overcommit) return absl::OkStatus();
  const uint64_t bytes = options_.clusters * kClusterBytes;
  struct sysinfo machine;
  if (sysinfo(&machine) != 0) return absl::InternalError(Errno());
  const uint64_t memory = uint64_t{machine.totalram} * machine.mem_unit;
  if (!facts_.on_disk && bytes > memory) {
    return TooLarge(options_.clusters, memory, "the machine's memory");
  }
  if (anon()) return absl::OkStatus();
  struct statfs fs;
  if (fstatfs(fd_, &fs) != 0) return absl::InternalError(Errno());
  const uint64_t size = uint64_t{fs.f_blocks} * fs.f_bsize;
  // A hugetlbfs or tmpfs that was given no limit says 0.
  if (size == 0 && !facts_.on_disk) return absl::OkStatus();
  if (bytes + kPoolHeaderBytes > size) {
    return TooLarge(options_.clusters, size, "the file system of --pool");
  }
  return absl::OkStatus();
}

// Only once it is decided what the file is: grown before that, a file that was
// cut short would look whole to the next start. For the same reason it is not
// mapped before (hugetlbfs grows what is mapped).
absl::Status Pool::Extend() {
  // Never shorter: a capacity that was lowered keeps what lies beyond.
  const uint64_t has = kPoolHeaderBytes + facts_.file_clusters * kClusterBytes;
  if (map_bytes_ <= has ||
      ftruncate(fd_, static_cast<off_t>(map_bytes_)) == 0) {
    return absl::OkStatus();
  }
  return absl::ResourceExhaustedError(
      absl::StrCat("cannot extend --pool=", name(), ": ", Errno()));
}

absl::Status Pool::Map() {
  if (map_ != nullptr) return absl::OkStatus();
  const size_t header = anon() ? 0 : kPoolHeaderBytes;
  map_bytes_ = header + options_.clusters * kClusterBytes;
  // An anonymous mapping is made one cluster longer, so that its clusters can
  // be laid on 2 MiB boundaries; the kernel aligns those of files itself.
  if (anon()) map_bytes_ += kClusterBytes;
  const int flags = anon() ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
  void* const map = mmap(nullptr, map_bytes_, PROT_READ | PROT_WRITE,
                         flags | MAP_NORESERVE, fd_, 0);
  if (map == MAP_FAILED) {
    return absl::ResourceExhaustedError(
        absl::StrCat("cannot map the pool: ", Errno(),
                     "; is the address space limited (ulimit -v)?"));
  }
  map_ = static_cast<char*>(map);
  data_ = anon() ? reinterpret_cast<char*>(
                       AlignUp(reinterpret_cast<size_t>(map_), kClusterBytes))
                 : map_ + header;
  // Refused where the kernel has no huge pages for it: then small ones serve.
  madvise(data_, options_.clusters * kClusterBytes, MADV_HUGEPAGE);
  return absl::OkStatus();
}

PoolMarks* Pool::marks() const {
  return reinterpret_cast<PoolMarks*>(map_ + kPoolMarksOffset);
}

absl::Status Pool::WriteHeader(const std::string& server_id,
                               uint64_t incarnation) {
  const PoolHeader header =
      MakePoolHeader(server_id, incarnation, options_.clusters);
  if (fallocate(fd_, 0, 0, kPoolHeaderBytes) != 0) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "--pool=", name(), ": cannot reserve 2MiB: ", Errno(),
        "; name a file on a tmpfs, hugetlbfs, ext4 or xfs with room"));
  }
  std::memcpy(map_, &header, sizeof(header));
  marks()->clean.store(0);
  if (facts_.on_disk && msync(map_, kPageBytes, MS_SYNC) != 0) {
    return absl::UnavailableError(
        absl::StrCat("--pool=", name(), ": ", Errno()));
  }
  return absl::OkStatus();
}

absl::Status Pool::Erase() {
  absl::Status status = Map();
  if (!status.ok() || anon()) return status;
  status = WriteHeader("", 0);
  if (status.ok()) status = Extend();
  if (!status.ok()) return status;
  return Scrub(0, clusters());
}

absl::Status Pool::Format(const std::string& server_id, uint64_t incarnation,
                          uint64_t sequence) {
  if (anon()) return absl::OkStatus();
  SetIntended(sequence);
  SetCommitted(sequence);
  return WriteHeader(server_id, incarnation);
}

absl::Status Pool::Adopt(uint64_t sequence) {
  absl::Status status = Map();
  if (!status.ok() || anon()) return status;
  status = Extend();
  if (!status.ok()) return status;
  return Format(facts_.server_id, facts_.incarnation, sequence);
}

void Pool::SetIntended(uint64_t sequence) {
  if (!anon()) marks()->intended.store(sequence);
}

void Pool::SetCommitted(uint64_t sequence) {
  if (!anon()) marks()->committed.store(sequence);
}

absl::Status Pool::MarkClean() {
  if (anon()) return absl::OkStatus();
  // Bytes first, then the word that vouches for them.
  if (facts_.on_disk && fsync(fd_) != 0) {
    return absl::UnavailableError(
        absl::StrCat("--pool=", name(), ": ", Errno()));
  }
  marks()->clean.store(1);
  if (facts_.on_disk && msync(map_, kPageBytes, MS_SYNC) != 0) {
    return absl::UnavailableError(
        absl::StrCat("--pool=", name(), ": ", Errno()));
  }
  return absl::OkStatus();
}

size_t Pool::Back(absl::Span<const uint64_t> clusters) {
  size_t done = 0;
  for (; done < clusters.size(); ++done) {
    const off_t at =
        static_cast<off_t>(kPoolHeaderBytes + clusters[done] * kClusterBytes);
    if (!anon() && fallocate(fd_, 0, at, kClusterBytes) != 0) break;
    // The page tables too, here and not in a put: 512 faults cost as much as
    // the copy. On a disk it would write 2 MiB of zeros; there it is left.
    if (facts_.on_disk) continue;
    if (madvise(Data(clusters[done]), kClusterBytes, MADV_POPULATE_WRITE) !=
            0 &&
        errno != EINVAL) {
      break;
    }
  }
  // What a failed one was given in part goes back.
  if (done < clusters.size()) Scrub(clusters[done], 1).IgnoreError();
  return done;
}

absl::Status Pool::Scrub(uint64_t first, uint64_t count) {
  const int failed =
      anon() ? madvise(Data(first), count * kClusterBytes, MADV_DONTNEED)
             : fallocate(
                   fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                   static_cast<off_t>(kPoolHeaderBytes + first * kClusterBytes),
                   static_cast<off_t>(count * kClusterBytes));
  if (failed == 0) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat("cannot empty clusters of the pool: ", Errno()));
}

}  // namespace farswap::server
