// What can happen to a farswap-server that programs have their memory on.
#ifndef FARSWAP_TESTS_CHAOS_SERVER_TROUBLE_H_
#define FARSWAP_TESTS_CHAOS_SERVER_TROUBLE_H_

#include <cstdint>
#include <random>
#include <string>

#include "tests/chaos/pool_damage.h"
#include "tests/client/remote/server_process.h"

namespace farswap::chaos {

// Owns the server. For one thread: it ends with the thread that started it.
// What the server does not do right is a failure of the test.
class ServerTrouble {
 public:
  // `lossy`: what it had may be lost; else it is only slow, or away for a
  // while.
  ServerTrouble(uint64_t seed, const std::string& capacity, bool lossy);

  // False: it does not start.
  bool Start() { return server_.Start(); }
  const std::string& address() const { return server_.address(); }

  // One thing, by chance, that took some time at most: whatever it was, the
  // server serves again.
  void Make();
  // Kills it, and starts it again.
  void Kill();
  void SleepAtMost(int ms);
  void Print() const;

 private:
  int Any(int n) { return static_cast<int>(random_() % n); }
  void Delay();
  void Restart();
  void StartAgain();

  const bool lossy_;
  std::mt19937_64 random_;
  remote::ServerProcess server_;
  PoolDamage pool_;
  int delays_ = 0;
  int kills_ = 0;
  int ends_ = 0;
  int losses_ = 0;
};

}  // namespace farswap::chaos

#endif  // FARSWAP_TESTS_CHAOS_SERVER_TROUBLE_H_
