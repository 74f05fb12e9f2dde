#include "table.hh"

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

}  // namespace paribus::kernels
