#include "table.hh"

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

const Table& table() {
#if defined(PARIBUS_X86)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq"))
    return avx512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return avx2;
#endif
  return plain;
}

bool attention_available() {
#if defined(PARIBUS_AMX)
  // The system gives the registers of the units only to those who ask.
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  static const bool available = __builtin_cpu_supports("amx-bf16") && __builtin_cpu_supports("avx512bf16") &&
                                __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                                syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  return available;
#else
  return false;
#endif
}

}  // namespace paribus::kernels
