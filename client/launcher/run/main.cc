// farswap-run: runs an unmodified program with far memory.
//
// This process does nothing with pages. It starts the command, watches how
// much memory its tree of processes uses, and starts farswap-pager, with gRPC
// and all that, when that gets near the limit. So a program that never needs
// far memory starts within milliseconds.
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <string>
#include <utility>

#include "client/launcher/run/command.h"
#include "client/launcher/run/descriptors.h"
#include "client/launcher/run/elf.h"
#include "client/launcher/run/options.h"
#include "client/launcher/run/places.h"
#include "client/launcher/run/poller.h"
#include "client/launcher/run/privilege.h"
#include "client/launcher/run/rendezvous.h"
#include "client/launcher/run/say.h"
#include "client/launcher/run/signals.h"
#include "client/launcher/run/supervisor.h"

namespace farswap::launcher {
namespace {

// Before anything is started.
struct Plan {
  Options options;
  std::string preload;
  std::string pager;
  std::string command;       // Its path.
  bool known_local = false;  // The command; that has been said.
};

int Wrong(const std::string& message, int status) {
  Say(message);
  return status;
}

// The command itself, if it is one whose memory stays local.
int LookAtCommand(Plan* plan) {
  const std::string why = WhyNotPreloaded(plan->command, {getuid(), getgid()});
  if (why.empty()) return -1;
  const std::string is = plan->options.command.front() + " is " + why;
  if (plan->options.strict) {
    return Wrong(is + ": it would stay local; without --strict it is run", 2);
  }
  Say(is + ": its memory stays local");
  plan->known_local = true;
  return -1;
}

// -1, or the status to end with.
int MakePlan(int argc, char** argv, Plan* plan) {
  const int status = ParseOptions(argc, argv, &plan->options);
  if (status >= 0) return status;
  const std::string missing = MissingPrivilege();
  if (!missing.empty()) return Wrong(missing, 2);
  const Place preload = FindPreload();
  if (preload.path.empty() || !preload.error.empty()) {
    return Wrong(preload.error, 2);
  }
  const Place pager = FindPager();
  if (pager.path.empty()) return Wrong(pager.error, 2);
  const CommandPlace command = FindCommand(plan->options.command.front());
  if (command.exit != 0) return Wrong(command.error, command.exit);
  plan->preload = preload.path;
  plan->pager = pager.path;
  plan->command = command.path;
  return LookAtCommand(plan);
}

[[noreturn]] void EndLike(int status) {
  if (WIFSIGNALED(status)) DieLike(WTERMSIG(status));
  _exit(WEXITSTATUS(status));
}

int Main(int argc, char** argv) {
  FillStandardStreams();
  Plan plan;
  if (const int status = MakePlan(argc, argv, &plan); status >= 0) {
    return status;
  }
  Signals signals;
  std::optional<Rendezvous> rendezvous = Rendezvous::Create();
  if (!rendezvous.has_value()) {
    return Wrong(std::string("cannot listen: ") + std::strerror(errno), 1);
  }
  Poller poller;
  if (!poller.valid()) {
    return Wrong(std::string("cannot poll: ") + std::strerror(errno), 1);
  }
  // Who is orphaned is still of the tree.
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  const pid_t pid = StartCommand(
      plan.command, plan.options.command,
      CommandEnvironment(plan.preload, rendezvous->Variable()), signals);
  if (pid < 0) {
    const int error = errno;
    return Wrong(plan.options.command.front() + ": " + std::strerror(error),
                 ExitOfExecError(error));
  }
  DropInherited();
  RaiseDescriptorLimit();
  Supervisor supervisor(plan.options, plan.preload, plan.pager, &signals,
                        &poller, *std::move(rendezvous));
  EndLike(supervisor.Run(pid, plan.known_local));
}

}  // namespace
}  // namespace farswap::launcher

int main(int argc, char** argv) { return farswap::launcher::Main(argc, argv); }
