// The descriptors that farswap-run was started with are the command's.
#ifndef FARSWAP_CLIENT_LAUNCHER_RUN_DESCRIPTORS_H_
#define FARSWAP_CLIENT_LAUNCHER_RUN_DESCRIPTORS_H_

namespace farswap::launcher {

// First of all: opens what is closed of stdin, stdout and stderr, so that no
// socket of ours becomes one of them. They stay closed for the command.
void FillStandardStreams();

// After the command has been started: closes our copies of what it inherited,
// so that a pipe or a lock ends when the command lets go of it. Only stderr
// stays, for what there is to say. All that we open is O_CLOEXEC, and what we
// inherited is not: that tells them apart.
void DropInherited();

// The limit of open descriptors, as high as we may; each process of the tree
// takes two here.
void RaiseDescriptorLimit();

}  // namespace farswap::launcher

#endif  // FARSWAP_CLIENT_LAUNCHER_RUN_DESCRIPTORS_H_
