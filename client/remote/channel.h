// Connections to one memory server.
#ifndef FARSWAP_CLIENT_REMOTE_CHANNEL_H_
#define FARSWAP_CLIENT_REMOTE_CHANNEL_H_

#include <grpcpp/channel.h>

#include <memory>
#include <string>

namespace farswap::remote {

// The largest answer that is taken. Sessions bound their batches well below.
inline constexpr int kMaxReceiveBytes = 64 << 20;

// A connection of its own, shared with no other channel, so that a read never
// queues behind megabytes of write-back. Connects at once, and again, within a
// second, when a call finds it broken. `address` is HOST:PORT or unix:PATH.
std::shared_ptr<grpc::Channel> NewChannel(const std::string& address);

// Once a process, before the first channel: sends gRPC's own log lines through
// LogRaw, for the reason given there, and has glibc keep blocks of megabytes.
void PrepareProcess();

}  // namespace farswap::remote

#endif  // FARSWAP_CLIENT_REMOTE_CHANNEL_H_
