// What can happen to the file that a server has its folios in.
#ifndef FARSWAP_TESTS_CHAOS_POOL_DAMAGE_H_
#define FARSWAP_TESTS_CHAOS_POOL_DAMAGE_H_

#include <random>
#include <string>

namespace farswap::chaos {

// For one thread. Its copy is beside the pool, to go with the folder.
class PoolDamage {
 public:
  explicit PoolDamage(std::string pool) : pool_(std::move(pool)) {}

  // --- while the server runs, too ---
  // Changes some bytes of folios, as failing memory would.
  void FlipBytes(std::mt19937_64* random) const;
  // Keeps a copy, for PutBack.
  void Save();

  // --- while it does not ---
  // One of: the file is gone, is cut short, or is the older copy. Says which.
  const char* Lose(std::mt19937_64* random) const;

 private:
  std::string copy() const { return pool_ + ".old"; }

  const std::string pool_;
  bool saved_ = false;
};

}  // namespace farswap::chaos

#endif  // FARSWAP_TESTS_CHAOS_POOL_DAMAGE_H_
