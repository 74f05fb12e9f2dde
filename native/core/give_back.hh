// Freed memory goes back to the system, so that what one stage of training needed is not resident in the next.
#pragma once

#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace paribus {

inline void give_back() {
#if defined(__GLIBC__)
    malloc_trim(0);
#endif
}

}  // namespace paribus
