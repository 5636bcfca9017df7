#include "client/launcher/run/elf.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>

#include "client/launcher/run/fd.h"

namespace farswap::launcher {
namespace {

// As the kernel: what it reads of a script, and how deep scripts may nest.
constexpr size_t kHeadBytes = 256;
constexpr int kMaxInterpreters = 4;
// A program has a dozen; as many as this are no program.
constexpr size_t kMaxSegments = 4096;

#if defined(__x86_64__)
constexpr unsigned kMachine = EM_X86_64;
#elif defined(__aarch64__)
constexpr unsigned kMachine = EM_AARCH64;
#else
#error "which e_machine has this machine?"
#endif

// "" if there is no line `#!`.
std::string Interpreter(const char* head, size_t bytes) {
  if (bytes < 2 || head[0] != '#' || head[1] != '!') return "";
  std::string line(head + 2, bytes - 2);
  line = line.substr(0, line.find('\n'));
  const size_t begin = line.find_first_not_of(" \t");
  if (begin == std::string::npos) return "";
  const size_t end = line.find_first_of(" \t", begin);
  return line.substr(begin, end == std::string::npos ? end : end - begin);
}

enum class Segments { kInterpreter, kNoInterpreter, kUnreadable };

Segments LookForInterpreter(int fd, const Elf64_Ehdr& elf) {
  if (elf.e_phentsize != sizeof(Elf64_Phdr) || elf.e_phnum > kMaxSegments) {
    return Segments::kUnreadable;
  }
  for (size_t i = 0; i < elf.e_phnum; ++i) {
    Elf64_Phdr segment;
    const auto at = static_cast<off_t>(elf.e_phoff + i * sizeof(segment));
    if (pread(fd, &segment, sizeof(segment), at) != sizeof(segment)) {
      return Segments::kUnreadable;
    }
    if (segment.p_type == PT_INTERP) return Segments::kInterpreter;
  }
  return Segments::kNoInterpreter;
}

std::string WhyNotElf(int fd, const char* head, size_t bytes) {
  Elf64_Ehdr elf;
  if (bytes < sizeof(elf) || std::memcmp(head, ELFMAG, SELFMAG) != 0) return "";
  std::memcpy(&elf, head, sizeof(elf));
  if (elf.e_ident[EI_CLASS] != ELFCLASS64) return "of 32 bits";
  if (elf.e_machine != kMachine) return "for another machine";
  return LookForInterpreter(fd, elf) == Segments::kNoInterpreter ? "static"
                                                                 : "";
}

// Root's programs get no new rights by their files, so the loader trusts the
// environment; as it does where setuid bits mean nothing.
std::string WhyNotTrusted(int fd, const RealIds& ids) {
  struct stat file {};
  struct statvfs system {};
  if (fstat(fd, &file) != 0) return "";
  if (fstatvfs(fd, &system) == 0 && (system.f_flag & ST_NOSUID) != 0) return "";
  const mode_t group = S_ISGID | S_IXGRP;
  if ((file.st_mode & S_ISUID) != 0 && file.st_uid != ids.user) return "setuid";
  if ((file.st_mode & group) == group && file.st_gid != ids.group) {
    return "setgid";
  }
  const bool capable =
      ids.user != 0 && fgetxattr(fd, "security.capability", nullptr, 0) > 0;
  return capable ? "given capabilities by its file" : "";
}

std::string WhyNot(int fd, const RealIds& ids, int depth) {
  char head[kHeadBytes];
  const ssize_t n = pread(fd, head, sizeof(head), 0);
  if (n <= 0) return "";
  const auto bytes = static_cast<size_t>(n);
  const std::string interpreter = Interpreter(head, bytes);
  if (interpreter.empty()) {
    const std::string why = WhyNotElf(fd, head, bytes);
    return why.empty() ? WhyNotTrusted(fd, ids) : why;
  }
  if (depth >= kMaxInterpreters) return "";
  const Fd next(open(interpreter.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  return next.valid() ? WhyNot(next.get(), ids, depth + 1) : "";
}

}  // namespace

std::string WhyNotPreloaded(int fd, const RealIds& ids) {
  return WhyNot(fd, ids, 0);
}

std::string WhyNotPreloaded(const std::string& path, const RealIds& ids) {
  // Not to wait for a FIFO.
  const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  return fd.valid() ? WhyNotPreloaded(fd.get(), ids) : "";
}

}  // namespace farswap::launcher
