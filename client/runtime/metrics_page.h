// A client's metrics over HTTP: the one file that knows who serves them.
#ifndef FARSWAP_CLIENT_RUNTIME_METRICS_PAGE_H_
#define FARSWAP_CLIENT_RUNTIME_METRICS_PAGE_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "client/pager/pager_stats.h"

namespace farswap::runtime {

class MetricsPage {
 public:
  // Serves `stats` at http://`listen`/metrics until the page is destroyed.
  // Its threads have the caller's signal mask. INVALID_ARGUMENT if nobody can
  // listen there.
  static absl::StatusOr<std::unique_ptr<MetricsPage>> Start(
      const std::string& listen, std::function<pager::PagerStats()> stats);
  ~MetricsPage();
  MetricsPage(const MetricsPage&) = delete;
  MetricsPage& operator=(const MetricsPage&) = delete;

  // HOST:PORT, with the port that was given.
  const std::string& address() const { return address_; }

 private:
  class Impl;
  MetricsPage(std::unique_ptr<Impl> impl, std::string address);

  const std::unique_ptr<Impl> impl_;
  const std::string address_;
};

}  // namespace farswap::runtime

#endif  // FARSWAP_CLIENT_RUNTIME_METRICS_PAGE_H_
