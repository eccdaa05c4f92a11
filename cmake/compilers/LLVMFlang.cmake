# flang 19 (flang-new-19 in Debian) or newer: a second front end that reads the same sources, for what gfortran lets pass.

set(kernel_flags
  -O3
  -std=f2018)  # a warning for what is not in the standard
if(x86)
  # -march=native would stand in the extension as just that; with a level, Python can tell that it was built for another
  # processor, and say so instead of stopping at an illegal instruction.
  set(level x86-64-v3)
  if(macros MATCHES "__AVX512F__" AND macros MATCHES "__AVX512BW__" AND macros MATCHES "__AVX512CD__"
      AND macros MATCHES "__AVX512DQ__" AND macros MATCHES "__AVX512VL__")
    set(level x86-64-v4)
  elseif(ECGKERN_NATIVE AND NOT macros MATCHES "__AVX2__")
    set(level native)
  endif()
  list(APPEND kernel_flags -march=${level})
elseif(ECGKERN_NATIVE)
  list(APPEND kernel_flags -march=native)
endif()

