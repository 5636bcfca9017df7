// Puts and gets through the transport and a real farswap-server, one in
// flight, beside a plain TCP socket that carries the same bytes in the same
// run. Every get's bytes are compared. Prints p50 in microseconds.
//
//   bazel run --config=opt //tests/bench:transport_bench
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "client/remote/grpc_transport.h"
#include "tests/client/remote/server_process.h"
#include "tests/client/remote/waiting_put.h"

namespace farswap::remote {
namespace {

using Clock = std::chrono::steady_clock;

void Check(bool ok, const char* what) {
  if (ok) return;
  fprintf(stderr, "transport_bench: %s\n", what);
  exit(1);
}

void WriteAll(int fd, const char* from, size_t size) {
  while (size > 0) {
    const ssize_t n = write(fd, from, size);
    Check(n > 0, "the socket broke");
    from += n;
    size -= static_cast<size_t>(n);
  }
}

// False at the end of the stream.
bool ReadAll(int fd, char* to, size_t size) {
  while (size > 0) {
    const ssize_t n = read(fd, to, size);
    if (n <= 0) return false;
    to += n;
    size -= static_cast<size_t>(n);
  }
  return true;
}

// The least a memory server could do, over one untuned connection.
class RawServer {
 public:
  RawServer() {
    const int listener = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof(address);
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    Check(bind(listener, generic, length) == 0, "bind");
    Check(listen(listener, 1) == 0, "listen");
    getsockname(listener, generic, &length);
    client_ = socket(AF_INET, SOCK_STREAM, 0);
    Check(connect(client_, generic, length) == 0, "connect");
    server_ = accept(listener, nullptr, nullptr);
    close(listener);
    const int one = 1;
    setsockopt(client_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    setsockopt(server_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    thread_ = std::thread([this] { Serve(); });
  }
  ~RawServer() {
    close(client_);
    thread_.join();
    close(server_);
  }

  void Put(const std::string& bytes) {
    const Header header = {1, bytes.size()};
    WriteAll(client_, reinterpret_cast<const char*>(&header), sizeof(header));
    WriteAll(client_, bytes.data(), bytes.size());
    char done = 0;
    Check(ReadAll(client_, &done, 1), "no answer");
  }
  void Get(std::string* bytes) {
    const Header header = {0, bytes->size()};
    WriteAll(client_, reinterpret_cast<const char*>(&header), sizeof(header));
    Check(ReadAll(client_, bytes->data(), bytes->size()), "no answer");
  }

 private:
  struct Header {
    uint64_t put;
    uint64_t size;
  };

  void Serve() {
    std::vector<char> memory(kPmdBytes);
    Header header = {};
    while (ReadAll(server_, reinterpret_cast<char*>(&header), sizeof(header))) {
      if (header.put == 0) {
        WriteAll(server_, memory.data(), header.size);
        continue;
      }
      Check(ReadAll(server_, memory.data(), header.size), "no body");
      WriteAll(server_, "", 1);
    }
  }

  int client_ = -1;
  int server_ = -1;
  std::thread thread_;
};

double MedianUs(int rounds, const std::function<void()>& call) {
  std::vector<double> times;
  for (int i = 0; i < rounds; ++i) {
    const auto start = Clock::now();
    call();
    times.push_back(
        std::chrono::duration<double, std::micro>(Clock::now() - start)
            .count());
  }
  std::nth_element(times.begin(), times.begin() + rounds / 2, times.end());
  return times[rounds / 2];
}

void Print(const char* what, int order, double grpc_us, double tcp_us) {
  printf("%-4s %5zu KiB  grpc %8.1f us  tcp %8.1f us  ratio %.2f\n", what,
         BytesOf(order) >> 10, grpc_us, tcp_us, grpc_us / tcp_us);
}

void Measure(Transport* transport, RawServer* raw,
             const core::ClusterGrant& grant, int order, int rounds) {
  const FolioRef ref = {grant, 0, order};
  std::string out(BytesOf(order), '\0');
  for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<char>(i * 7);
  std::string in(out.size(), '\0');
  const auto put = [&] {
    WaitingPut op;
    op.Start(transport, ref, out);
    Check(op.Wait().ok(), "put failed");
  };
  const auto get = [&] {
    Check(transport
              ->Get({&ref, 1}, absl::MakeSpan(in),
                    Clock::now() + std::chrono::seconds(30))
              .ok(),
          "get failed");
    Check(in == out, "wrong bytes");
  };
  const auto raw_put = [&] { raw->Put(out); };
  const auto raw_get = [&] {
    raw->Get(&in);
    Check(in == out, "wrong bytes");
  };
  MedianUs(rounds / 10, put);  // Faults the server's memory in.
  Print("put", order, MedianUs(rounds, put), MedianUs(rounds, raw_put));
  Print("get", order, MedianUs(rounds, get), MedianUs(rounds, raw_get));
}

int Main() {
  ServerProcess server(/*unix_socket=*/false);
  Check(server.Start(), "no server");
  GrpcTransport::Options options;
  options.servers = {*Address::Parse(server.address())};
  auto transport = GrpcTransport::Create(options);
  Check(transport.ok(), "no transport");
  const auto grants =
      (*transport)
          ->AllocateClusters(1, Clock::now() + std::chrono::seconds(30));
  Check(grants.ok(), "no cluster");
  RawServer raw;
  Measure(transport->get(), &raw, grants->front(), 0, 2000);
  Measure(transport->get(), &raw, grants->front(), kPartOrder, 1000);
  Measure(transport->get(), &raw, grants->front(), kPmdOrder, 200);
  return 0;
}

}  // namespace
}  // namespace farswap::remote

int main() { return farswap::remote::Main(); }
