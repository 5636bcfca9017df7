#include "client/launcher/run/strays.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <optional>

#include "client/launcher/process_wire.h"
#include "client/launcher/run/elf.h"
#include "client/launcher/run/fd.h"
#include "client/launcher/run/proc.h"

namespace farswap::launcher {
namespace {

// Of programs that should report in. Its libraries may come over a network,
// and this machine may be busy.
constexpr std::chrono::seconds kSilence{10};

// In the middle of an exec there is no environment to be read; that takes less
// than this.
constexpr int kExecRounds = 20;
constexpr int kExecRoundUs = 5000;

constexpr char kShed[] = "was started without our LD_PRELOAD";
constexpr char kSilent[] = "does not report in";

Fd OpenProgram(pid_t pid) {
  const std::string path = "/proc/" + std::to_string(pid) + "/exe";
  return Fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
}

std::pair<uint64_t, uint64_t> ProgramOf(pid_t pid) {
  const std::string path = "/proc/" + std::to_string(pid) + "/exe";
  struct stat file {};
  if (stat(path.c_str(), &file) != 0) return {0, 0};
  return {file.st_dev, file.st_ino};
}

// Whether `environment` (NUL after each) has NAME=...`part`...
bool Has(const std::string& environment, const std::string& name,
         const std::string& part) {
  const std::string begin = name + "=";
  for (size_t at = 0; at < environment.size();) {
    size_t end = environment.find('\0', at);
    if (end == std::string::npos) end = environment.size();
    const std::string entry = environment.substr(at, end - at);
    if (entry.rfind(begin, 0) == 0 && entry.find(part) != std::string::npos) {
      return true;
    }
    at = end + 1;
  }
  return false;
}

}  // namespace

std::string Strays::Why(pid_t pid, pid_t parent, bool silent) const {
  if (SharesMemory(pid, parent)) return "";
  const Fd program = OpenProgram(pid);
  if (!program.valid()) return "";
  const std::string why = WhyNotPreloaded(program.get(), ReadRealIds(pid));
  if (!why.empty()) return "is " + why;
  const std::string environment = ReadEnvironment(pid);
  if (!Has(environment, kRunVariable, variable_) ||
      !Has(environment, "LD_PRELOAD", preload_)) {
    return kShed;
  }
  return silent ? kSilent : "";
}

bool Strays::IsNew(pid_t pid, pid_t parent, uint64_t start, Time now) {
  Record& record = records_[pid];
  if (record.start != start) record = Record{};
  record.start = start;
  record.seen = true;
  if (record.named) return false;
  const std::pair<uint64_t, uint64_t> program = ProgramOf(pid);
  std::string why = Why(pid, parent, true);
  if (why.empty()) return false;
  if (why != record.why || program != record.program) {
    record.why = std::move(why);
    record.program = program;
    record.since = now;
    return false;
  }
  record.named = record.why != kSilent || now - record.since >= kSilence;
  return record.named;
}

std::vector<Stray> Strays::Look(pid_t pager,
                                const std::function<bool(pid_t)>& known,
                                Time now) {
  std::vector<Stray> found;
  for (const pid_t pid : Descendants(getpid(), pager)) {
    const std::optional<ProcStat> stat = ReadStat(pid);
    if (!stat.has_value() || stat->ended()) continue;
    if (known(pid) || HasMover(pid)) continue;
    if (IsNew(pid, stat->parent, stat->start, now)) {
      found.push_back({pid, stat->name, records_[pid].why});
    }
  }
  // Those that were not seen without the library have ended, or have it now.
  for (auto it = records_.begin(); it != records_.end();) {
    it = it->second.seen ? std::next(it) : records_.erase(it);
  }
  for (auto& [pid, record] : records_) record.seen = false;
  return found;
}

void Strays::Ignore(pid_t pid) {
  const std::optional<ProcStat> stat = ReadStat(pid);
  if (!stat.has_value()) return;
  Record& record = records_[pid];
  record.start = stat->start;
  record.named = true;
  record.seen = true;
}

bool Strays::IsLocal(pid_t pid, pid_t parent) const {
  const auto record = records_.find(pid);
  if (record != records_.end() && record->second.named) return true;
  for (int round = 0; round < kExecRounds; ++round) {
    if (HasMover(pid)) return false;
    const std::string why = Why(pid, parent, false);
    if (why != kShed) return !why.empty();
    usleep(kExecRoundUs);
  }
  return true;
}

bool Strays::AnyIsYetToReport(pid_t pager) const {
  for (const pid_t pid : Descendants(getpid(), pager)) {
    const std::optional<ProcStat> stat = ReadStat(pid);
    if (!stat.has_value() || stat->ended()) continue;
    if (!HasMover(pid) && !IsLocal(pid, stat->parent)) return true;
  }
  return false;
}

bool Strays::AnyMayReport(pid_t pager) const {
  for (const pid_t pid : Descendants(getpid(), pager)) {
    const std::optional<ProcStat> stat = ReadStat(pid);
    if (!stat.has_value() || stat->ended()) continue;
    if (!IsLocal(pid, stat->parent)) return true;
  }
  return false;
}

}  // namespace farswap::launcher
