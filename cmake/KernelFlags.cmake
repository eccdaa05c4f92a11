# What the Fortran kernels are compiled with: the flags of the compiler at hand (compilers/, a file for each), and the
# shape of the register blocks for the processor compiled for. No compiler is given fast-math: the sums keep the order
# that they are written in.
string(TOLOWER "${CMAKE_SYSTEM_PROCESSOR}" processor)
set(x86 OFF)
if(processor MATCHES "x86_64|amd64")
  set(x86 ON)
endif()

# The macros of a C compiler say what this processor can do, whatever the Fortran compiler.
set(macros "")
if(x86 AND ECGKERN_NATIVE)
  file(WRITE "${CMAKE_CURRENT_BINARY_DIR}/empty.c" "")
  execute_process(
    COMMAND "${CMAKE_C_COMPILER}" -march=native -dM -E "${CMAKE_CURRENT_BINARY_DIR}/empty.c"
    OUTPUT_VARIABLE macros ERROR_QUIET)
endif()

# The vector registers of the processor compiled for: a folder of fortran/registers.
set(registers other)
if(x86)
  set(registers avx2)
  if(macros MATCHES "__AVX512F__")
    set(registers avx512)
  endif()
endif()
message(STATUS "ecgkern: vector registers: ${registers}")

# Sets kernel_flags for all kernels, offload_flags for fortran/offload, and the options of single files.
set(kernel_flags "")
set(offload_flags "")
include("${CMAKE_CURRENT_LIST_DIR}/compilers/${CMAKE_Fortran_COMPILER_ID}.cmake" OPTIONAL RESULT_VARIABLE known)
if(NOT known)
  message(WARNING "ecgkern: no flags are known for ${CMAKE_Fortran_COMPILER_ID} Fortran (${CMAKE_Fortran_COMPILER}); "
    "gfortran, flang and nvfortran have theirs in cmake/compilers")
endif()
