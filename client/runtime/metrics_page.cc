#include "client/runtime/metrics_page.h"

#include <prometheus/exposer.h>

#include <exception>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "client/runtime/metrics_exporter.h"
#include "common/address.h"

namespace farswap::runtime {

class MetricsPage::Impl {
 public:
  // Throws if nobody can listen there. One thread answers: a scrape is rare.
  Impl(const std::string& listen, std::function<pager::PagerStats()> stats)
      : exporter_(std::make_shared<MetricsExporter>(std::move(stats))),
        exposer_(listen, 1) {
    exposer_.RegisterCollectable(exporter_);
  }

  std::vector<int> Ports() const { return exposer_.GetListeningPorts(); }

 private:
  const std::shared_ptr<MetricsExporter> exporter_;
  prometheus::Exposer exposer_;
};

MetricsPage::MetricsPage(std::unique_ptr<Impl> impl, std::string address)
    : impl_(std::move(impl)), address_(std::move(address)) {}

MetricsPage::~MetricsPage() = default;

absl::StatusOr<std::unique_ptr<MetricsPage>> MetricsPage::Start(
    const std::string& listen, std::function<pager::PagerStats()> stats) {
  auto address = Address::Parse(listen);
  if (!address.ok()) return address.status();
  std::unique_ptr<Impl> impl;
  // The library reports a port that is taken by throwing.
  try {
    impl = std::make_unique<Impl>(address->ToString(), std::move(stats));
  } catch (const std::exception&) {
    return absl::InvalidArgumentError(absl::StrCat(
        "cannot listen on metrics_listen, ", listen,
        ": is it in use, or not of this machine? Name another address, or "
        "port 0 for any"));
  }
  const std::vector<int> ports = impl->Ports();
  if (!ports.empty()) {
    address = address->WithPort(static_cast<uint16_t>(ports.front()));
  }
  return std::unique_ptr<MetricsPage>(
      new MetricsPage(std::move(impl), address->ToString()));
}

}  // namespace farswap::runtime
