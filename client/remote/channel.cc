#include "client/remote/channel.h"

#include <grpc/support/log.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>
#include <malloc.h>

#include <mutex>

#include "common/log_raw.h"

namespace farswap::remote {
namespace {

// A dead peer is found after 13 s at most, with or without calls under way.
constexpr int kKeepaliveMs = 10'000;
constexpr int kKeepaliveTimeoutMs = 3'000;
// A restarted server is found within a second; an address that swallows
// packets is tried anew as often.
constexpr int kFirstReconnectMs = 50;
constexpr int kMaxReconnectMs = 1'000;
constexpr int kConnectTimeoutMs = 1'000;

// gRPC allocates and frees what a message is received into. By default glibc
// maps and unmaps each block from 128 KiB on, and the pages are zeroed and
// faulted in anew each time: measured, a get of 2 MiB took 3 to 60 ms instead
// of 1.7. A message is 2 MiB and a little; what is kept free is bounded.
constexpr int kMmapThreshold = 8 << 20;
constexpr int kTrimThreshold = 64 << 20;

grpc::ChannelArguments Arguments() {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kFirstReconnectMs);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kMaxReconnectMs);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kConnectTimeoutMs);
  // Retries are ours: gRPC knows nothing of epochs.
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  // Memory does not go through what http_proxy names.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetMaxReceiveMessageSize(kMaxReceiveBytes);
  return arguments;
}

LogLevel LevelOf(gpr_log_severity severity) {
  switch (severity) {
    case GPR_LOG_SEVERITY_ERROR:
      return LogLevel::kError;
    case GPR_LOG_SEVERITY_INFO:
      return LogLevel::kWarning;
    default:
      return LogLevel::kInfo;
  }
}

void WriteGrpcLog(gpr_log_func_args* args) {
  static LogLimiter limiter(1);
  uint64_t suppressed = 0;
  if (!limiter.Allow(&suppressed)) return;
  LogRaw(LevelOf(args->severity), "grpc %s:%d: %s", args->file, args->line,
         args->message);
}

}  // namespace

std::shared_ptr<grpc::Channel> NewChannel(const std::string& address) {
  auto channel = grpc::CreateCustomChannel(
      address, grpc::InsecureChannelCredentials(), Arguments());
  // The first fault is not to pay for the connection.
  channel->GetState(/*try_to_connect=*/true);
  return channel;
}

void PrepareProcess() {
  static std::once_flag once;
  std::call_once(once, [] {
    gpr_set_log_function(WriteGrpcLog);
    // Of the program's own allocator, if that is glibc's. This is the whole
    // process's setting, but without it a get of 2 MiB is ten times as long.
    mallopt(M_MMAP_THRESHOLD, kMmapThreshold);
    mallopt(M_TRIM_THRESHOLD, kTrimThreshold);
    // Each thread polls the connection that it waits for. By default all of
    // gRPC's threads poll all connections, and who finds a get's answer hands
    // it to who waits: two context switches more. Not if the program says
    // otherwise, and without effect if it has started gRPC before.
    setenv("GRPC_POLL_STRATEGY", "poll", /*overwrite=*/0);
  });
}

}  // namespace farswap::remote
