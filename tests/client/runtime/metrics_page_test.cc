// A client's metrics as Prometheus gets them: over HTTP, parsed as text, and
// held against what the C API says.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <thread>

#include "client/runtime/farswap.h"
#include "tests/client/runtime/api_fixture.h"

namespace farswap {
namespace {

// What GET /metrics of "127.0.0.1:PORT" answers; "" if nobody does.
std::string Scrape(const std::string& address) {
  sockaddr_in to = {};
  to.sin_family = AF_INET;
  to.sin_port = htons(
      static_cast<uint16_t>(std::stoi(address.substr(address.find(':') + 1))));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  std::string answer;
  if (connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof(to)) == 0) {
    const std::string request =
        "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    EXPECT_EQ(send(fd, request.data(), request.size(), 0),
              static_cast<ssize_t>(request.size()));
    char buffer[4096];
    for (ssize_t n; (n = recv(fd, buffer, sizeof(buffer), 0)) > 0;) {
      answer.append(buffer, static_cast<size_t>(n));
    }
  }
  close(fd);
  return answer;
}

// Sample lines by name and labels, and the families' types and help texts.
struct Page {
  std::map<std::string, double> samples;
  std::map<std::string, std::string> types;
  std::set<std::string> helped;

  double operator[](const std::string& name) const {
    const auto found = samples.find("farswap_client_" + name);
    if (found != samples.end()) return found->second;
    ADD_FAILURE() << "there is no " << name;
    return -1;
  }
};

Page Parse(const std::string& answer) {
  Page page;
  EXPECT_EQ(answer.rfind("HTTP/1.1 200", 0), 0u) << answer.substr(0, 200);
  std::istringstream lines(answer.substr(answer.find("\r\n\r\n") + 4));
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string hash, kind, name, rest;
    if (line.rfind("# ", 0) == 0) {
      words >> hash >> kind >> name >> rest;
      if (kind == "TYPE") page.types[name] = rest;
      if (kind == "HELP" && !rest.empty()) page.helped.insert(name);
    } else if (const size_t space = line.rfind(' ');
               space != std::string::npos) {
      page.samples[line.substr(0, space)] =
          std::strtod(line.c_str() + space, nullptr);
    }
  }
  return page;
}

class MetricsPageTest : public FarswapApiTest {
 protected:
  farswap_client* OpenAt(const char* listen) {
    farswap_client_options options = ClientOptions();
    options.metrics_listen = listen;
    farswap_client* client = nullptr;
    EXPECT_EQ(farswap_client_open(&options, &client), 0)
        << farswap_last_error();
    return client;
  }
  static farswap_stats StatsOf(farswap_client* client) {
    farswap_stats stats = {};
    stats.size = sizeof(stats);
    EXPECT_EQ(farswap_client_stats(client, &stats), 0);
    return stats;
  }
  // Waits until nothing is counted any more; far memory is not touched
  // meanwhile.
  static farswap_stats Settle(farswap_client* client) {
    farswap_stats before = StatsOf(client);
    for (int same = 0, tries = 0; same < 20 && tries < 3000; ++tries) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      const farswap_stats now = StatsOf(client);
      const bool still = now.swpout_bytes == before.swpout_bytes &&
                         now.resident_bytes == before.resident_bytes &&
                         now.stage_total_count == before.stage_total_count;
      same = still ? same + 1 : 0;
      before = now;
    }
    return before;
  }
};

void ExpectCountersMatch(const Page& page, const farswap_stats& stats) {
  EXPECT_EQ(page["faults_total"], stats.faults);
  EXPECT_EQ(page["faults_failed_total"], 0);
  EXPECT_EQ(page["faults_spurious_oom_total"], 0);
  EXPECT_EQ(page["refault_folios_total"], stats.refaults);
  EXPECT_EQ(page["swpin_bytes_total"], stats.swpin_bytes);
  EXPECT_EQ(page["swpout_bytes_total"], stats.swpout_bytes);
  EXPECT_EQ(page["thp_swpin_folios_total"], stats.thp_swpin);
  EXPECT_EQ(page["resident_bytes"], stats.resident_bytes);
  EXPECT_EQ(page["remote_bytes"], stats.remote_bytes);
  EXPECT_EQ(page["lost_pages_total"], 0);
  for (int order = 0; order < FARSWAP_ORDERS; ++order) {
    const std::string label = "{order=\"" + std::to_string(order) + "\"}";
    EXPECT_EQ(page["swpin_folios_total" + label], stats.swpin[order]) << order;
    EXPECT_EQ(page["swpout_folios_total" + label], stats.swpout[order]);
    EXPECT_EQ(page["swpin_fallback_total" + label],
              stats.swpin_fallback[order]);
  }
  double fallbacks = 0;
  for (const char* cause :
       {"alloc", "charge", "conflict", "zero", "pmd", "staging"}) {
    fallbacks +=
        page[std::string("thp_swpin_fallback_total{cause=\"") + cause + "\"}"];
  }
  EXPECT_EQ(fallbacks, stats.thp_swpin_fallback);
}

void ExpectStagesMatch(const Page& page, const farswap_stats& stats) {
  EXPECT_EQ(page["fault_seconds_count"], stats.stage_total_count);
  EXPECT_EQ(page["fault_queue_seconds_count"], stats.stage_queue_count);
  EXPECT_GT(page["fault_seconds_sum"], 0);
  for (const int order : {0, 4, 9}) {
    const std::string label = "{order=\"" + std::to_string(order) + "\"}";
    EXPECT_EQ(page["fault_rpc_seconds_count" + label],
              stats.stage_rpc_count[order]);
    EXPECT_EQ(page["fault_verify_seconds_count" + label],
              stats.stage_verify_count[order]);
    EXPECT_EQ(page["fault_install_seconds_count" + label],
              stats.stage_install_count[order]);
    EXPECT_NEAR(page["fault_rpc_seconds_sum" + label],
                static_cast<double>(stats.stage_rpc_ns[order]) * 1e-9, 1e-6);
    const std::string bound =
        "{order=\"" + std::to_string(order) + "\",le=\"+Inf\"}";
    EXPECT_EQ(page["fault_rpc_seconds_bucket" + bound],
              stats.stage_rpc_count[order]);
  }
}

TEST_F(MetricsPageTest, ThePageSaysWhatTheApiSays) {
  farswap_client* const client = OpenAt("127.0.0.1:0");
  const std::string address = farswap_client_metrics_address(client);
  ASSERT_EQ(address.rfind("127.0.0.1:", 0), 0u) << address;
  ASSERT_NE(address, "127.0.0.1:0");
  farswap_group* const group = MakeGroup(client);
  farswap_region* const region = MakeRegion(group, 32 * kMiB);
  auto* const data = static_cast<char*>(farswap_region_address(region));
  for (int pass = 0; pass < 2; ++pass) {
    for (uint64_t i = 0; i < 32 * kMiB; i += 8) {
      uint64_t* const word = reinterpret_cast<uint64_t*>(data + i);
      *word += i * 0x9e3779b97f4a7c15 + 1;
    }
  }
  const farswap_stats stats = Settle(client);
  ASSERT_GT(stats.swpin_bytes, 0u);
  ASSERT_GT(stats.swpout_bytes, 0u);
  const Page page = Parse(Scrape(address));
  ExpectCountersMatch(page, stats);
  ExpectStagesMatch(page, stats);
  EXPECT_EQ(farswap_region_destroy(region), 0);
  EXPECT_EQ(farswap_group_destroy(group), 0);
  EXPECT_EQ(farswap_client_close(client), 0);
  EXPECT_EQ(Scrape(address), "") << "it listens no more";
}

TEST_F(MetricsPageTest, NamesAreAsPrometheusWantsThem) {
  farswap_client* const client = OpenAt("127.0.0.1:0");
  const Page page = Parse(Scrape(farswap_client_metrics_address(client)));
  EXPECT_GT(page.types.size(), 30u);
  for (const auto& [name, type] : page.types) {
    if (name.rfind("exposer_", 0) == 0) continue;  // The library's own.
    EXPECT_EQ(name.rfind("farswap_client_", 0), 0u) << name;
    EXPECT_TRUE(page.helped.count(name)) << name;
    const bool total =
        name.size() > 6 && name.rfind("_total") == name.size() - 6;
    EXPECT_EQ(total, type == "counter") << name;
    if (type == "histogram") {
      EXPECT_EQ(name.rfind("_seconds"), name.size() - 8) << name;
    }
  }
  EXPECT_EQ(farswap_client_close(client), 0);
}

TEST_F(MetricsPageTest, NobodyListensUnlessAsked) {
  farswap_client* const client = Open();
  EXPECT_STREQ(farswap_client_metrics_address(client), "");
  EXPECT_STREQ(farswap_client_metrics_address(nullptr), "");
  EXPECT_EQ(farswap_client_close(client), 0);
}

TEST_F(MetricsPageTest, APortThatIsTakenIsRefused) {
  farswap_client* const first = OpenAt("127.0.0.1:0");
  const std::string taken = farswap_client_metrics_address(first);
  farswap_client_options options = ClientOptions();
  options.metrics_listen = taken.c_str();
  farswap_client* second = nullptr;
  EXPECT_EQ(farswap_client_open(&options, &second), -EINVAL);
  EXPECT_EQ(second, nullptr);
  EXPECT_EQ(std::string(farswap_last_error())
                .find("cannot listen on metrics_listen, " + taken),
            0u)
      << farswap_last_error();
  EXPECT_EQ(farswap_client_close(first), 0);
}

TEST_F(MetricsPageTest, TheProgramsSignalsAreItsOwn) {
  struct sigaction before = {};
  ASSERT_EQ(sigaction(SIGPIPE, nullptr, &before), 0);
  farswap_client* const client = OpenAt("127.0.0.1:0");
  EXPECT_NE(Scrape(farswap_client_metrics_address(client)), "");
  struct sigaction after = {};
  ASSERT_EQ(sigaction(SIGPIPE, nullptr, &after), 0);
  EXPECT_EQ(before.sa_handler, after.sa_handler);
  EXPECT_EQ(farswap_client_close(client), 0);
}

}  // namespace
}  // namespace farswap
