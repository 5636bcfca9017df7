#include "client/runtime/handles.h"

#include "absl/strings/str_cat.h"

namespace farswap::runtime {

absl::Status Null(const char* what) {
  return absl::InvalidArgumentError(absl::StrCat(what, " is NULL"));
}

absl::Status Forked() {
  return absl::PermissionDeniedError(
      "this process was forked from one that has far memory, and has none "
      "itself until it executes a program");
}

absl::Status Usable(const farswap_client* client) {
  if (client == nullptr) return Null("client");
  return client->process == getpid() ? absl::OkStatus() : Forked();
}

}  // namespace farswap::runtime
