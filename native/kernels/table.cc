#include "table.hh"

#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "attention.hh"

#if defined(PARIBUS_AMX)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace paribus::kernels {

extern const Table plain;
#if defined(PARIBUS_X86)
extern const Table avx2;
extern const Table avx512;
#endif

namespace {

// The kind of processor to compute as, for tests of those that this one is no longer; none of them has matrix units.
// null: the best it is.
const char* asked() {
  const char* name = std::getenv("PARIBUS_PROCESSOR");
  return name != nullptr && *name != '\0' ? name : nullptr;
}

}  // namespace

const Table& table() {
  std::vector<const Table*> all;  // the best first
#if defined(PARIBUS_X86)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq"))
    all.push_back(&avx512);
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) all.push_back(&avx2);
#endif
  all.push_back(&plain);
  if (asked() == nullptr) return *all.front();
  std::string names;
  for (const Table* one : all) {
    if (std::strcmp(one->name, asked()) == 0) return *one;
    names += std::string(names.empty() ? "" : ", ") + one->name;
  }
  throw std::runtime_error(std::string("PARIBUS_PROCESSOR=") + asked() + ": this machine computes as one of " + names);
}

bool attention_available() {
#if defined(PARIBUS_AMX)
  // The system gives the registers of the units only to those who ask.
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  static const bool available =
      asked() == nullptr && __builtin_cpu_supports("amx-bf16") && __builtin_cpu_supports("avx512bf16") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
      syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  return available;
#else
  return false;
#endif
}

}  // namespace paribus::kernels
