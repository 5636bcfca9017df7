#include "client/launcher/preload/privileges.h"

#include <linux/capability.h>
#include <sys/prctl.h>

#include <cstdint>

#include "client/launcher/preload/raw_calls.h"

namespace farswap::launcher::preload {
namespace {

constexpr uint32_t kNobody = 65534;

bool IsRoot() {
  uint32_t real = 0;
  uint32_t effective = 0;
  uint32_t saved = 0;
  (void)Call(SYS_getresuid, &real, &effective, &saved);
  return real == 0 || effective == 0 || saved == 0;
}

void DropIds() {
  if (!IsRoot()) return;
  (void)Call(SYS_setgroups, 0, nullptr);
  (void)Call(SYS_setresgid, kNobody, kNobody, kNobody);
  (void)Call(SYS_setresuid, kNobody, kNobody, kNobody);
}

void DropCapabilities() {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {};
  (void)Call(SYS_capset, &header, none);
}

}  // namespace

void DropPrivileges() {
  // The kernel takes the process for one of other rights now, and would hide
  // its /proc from those that may see it.
  const int64_t dumpable = Call(SYS_prctl, PR_GET_DUMPABLE);
  DropIds();
  DropCapabilities();
  (void)Call(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1);
  if (dumpable == 1 && Call(SYS_prctl, PR_GET_DUMPABLE) != 1) {
    (void)Call(SYS_prctl, PR_SET_DUMPABLE, 1);
  }
}

}  // namespace farswap::launcher::preload
