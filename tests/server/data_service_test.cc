// How many calls of one client a server has under way.
#include "server/data_service.h"

#include <arpa/inet.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <deque>
#include <thread>

#include "tests/server/server_client.h"
#include "tests/server/server_process.h"
#include "tests/server/temp_dir.h"

namespace farswap::server {
namespace {

// What an HTTP server at 127.0.0.1:PORT has at /metrics.
std::string Scrape(const std::string& host_port) {
  const int port = std::stoi(host_port.substr(host_port.rfind(':') + 1));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  std::string text;
  const std::string ask =
      "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) ==
          0 &&
      write(fd, ask.data(), ask.size()) > 0) {
    char bytes[4096];
    for (ssize_t n; (n = read(fd, bytes, sizeof(bytes))) > 0;) {
      text.append(bytes, static_cast<size_t>(n));
    }
  }
  close(fd);
  return text;
}

// The value of a metric; -1 if it is not there.
double Value(const std::string& text, const std::string& metric) {
  const size_t at = text.find("\n" + metric + " ");
  if (at == std::string::npos) return -1;
  return std::stod(text.substr(at + metric.size() + 2));
}

// Gets whose answers nobody reads until Drain: nothing polls.
class StuckGets {
 public:
  explicit StuckGets(const std::string& address) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    for (int i = 0; i < kConnections; ++i) {
      const auto channel = grpc::CreateCustomChannel(
          address, grpc::InsecureChannelCredentials(), arguments);
      EXPECT_TRUE(channel->WaitForConnected(until_));
      stubs_.push_back(v1::FolioService::NewStub(channel));
    }
  }
  // As many as each connection may have.
  void Start(const v1::GetFoliosRequest& request) {
    for (int i = 0; i < kConnections * kMaxInFlightOfConnection; ++i) {
      Get& get = gets_.emplace_back();
      get.context.set_deadline(until_);
      get.reader =
          stubs_[static_cast<size_t>(i % kConnections)]->AsyncGetFolios(
              &get.context, request, &queue_);
      get.reader->Finish(&get.response, &get.status, &get);
    }
  }
  // How many were answered with that code in the end.
  int Drain(grpc::StatusCode code) {
    void* tag;
    bool ok;
    int found = 0;
    for (size_t i = 0; i < gets_.size() && queue_.Next(&tag, &ok); ++i) {
      found += static_cast<Get*>(tag)->status.error_code() == code ? 1 : 0;
    }
    return found;
  }

 private:
  struct Get {
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientAsyncResponseReader<v1::GetFoliosResponse>>
        reader;
    v1::GetFoliosResponse response;
    grpc::Status status;
  };
  static constexpr int kConnections = 3;
  static_assert(kConnections * kMaxInFlightOfConnection >
                int{kMaxInFlightOfSession} + kMaxInFlightOfConnection / 2);

  const std::chrono::system_clock::time_point until_ =
      std::chrono::system_clock::now() + std::chrono::seconds(60);
  grpc::CompletionQueue queue_;
  std::vector<std::unique_ptr<v1::FolioService::Stub>> stubs_;
  std::deque<Get> gets_;
};

TEST(DataServiceTest, OneSessionHasAShareOfTheCallsUnderWay) {
  TempDir dir;
  const ServerProcess server(
      {"--data-dir=" + (dir / "data"), "--capacity=16MiB"});
  ASSERT_TRUE(server.ready());
  Client client(server.data());
  ASSERT_TRUE(client.Open().ok());
  v1::AllocateClustersResponse granted;
  ASSERT_TRUE(client.Allocate(1, 1, &granted).ok());
  auto put = client.PutRequest();
  AddFolio(&put, granted.grants(0), 0, 9);
  ASSERT_TRUE(client.Put(put).ok());
  v1::GetFoliosRequest request;
  request.set_session_id(put.session_id());
  request.set_epoch(put.epoch());
  *request.mutable_folios() = put.folios();
  const std::string refused =
      "farswap_server_calls_total{method=\"GetFolios\",status="
      "\"RESOURCE_EXHAUSTED\"}";
  int told = 0;
  // On a busy machine the last of them may not be sent before the server gives
  // up a connection that nobody reads, with what it was told there.
  for (int attempt = 0; attempt < 5 && told == 0; ++attempt) {
    StuckGets gets(server.data());
    gets.Start(request);
    std::string metrics;
    for (int i = 0; i < 100 && Value(metrics, refused) < 1; ++i) {
      metrics = Scrape(server.metrics());
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    told = gets.Drain(grpc::RESOURCE_EXHAUSTED);
  }
  EXPECT_GE(told, 1);
  EXPECT_GE(Value(Scrape(server.metrics()), refused), 1);
  // The places are free again.
  std::string body;
  EXPECT_TRUE(client.Get(put, &body).ok());
  EXPECT_TRUE(body == put.body());
}

}  // namespace
}  // namespace farswap::server
