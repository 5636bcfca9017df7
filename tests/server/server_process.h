// A real farswap-server in a process of its own.
#ifndef FARSWAP_TESTS_SERVER_SERVER_PROCESS_H_
#define FARSWAP_TESTS_SERVER_SERVER_PROCESS_H_

#include <string>
#include <vector>

namespace farswap::server {

class ServerProcess {
 public:
  // Starts it with these options; port 0 for what is not named.
  explicit ServerProcess(std::vector<std::string> options);
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;
  // Kills it, if it was not waited for.
  ~ServerProcess();

  // Whether it serves, with the addresses of its ready line.
  bool ready() const { return !data_.empty(); }
  const std::string& data() const { return data_; }
  const std::string& admin() const { return admin_; }
  const std::string& metrics() const { return metrics_; }

  // Sends a signal, waits for the end, and returns the exit status: what it
  // exited with, or 128 + the signal that ended it.
  int End(int signal_number);
  // For one that ends by itself.
  int Wait() { return End(0); }

  // What it wrote to stderr, and to stdout; once it has ended.
  const std::string& errors() const { return errors_; }
  const std::string& output() const { return output_; }

 private:
  int pid_ = -1;
  int out_ = -1;
  int err_ = -1;
  std::string output_;
  std::string errors_;
  std::string data_;
  std::string admin_;
  std::string metrics_;
};

}  // namespace farswap::server

#endif  // FARSWAP_TESTS_SERVER_SERVER_PROCESS_H_
