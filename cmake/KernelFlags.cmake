# Compiler flags of the Fortran kernels, per compiler. No fast-math: the sums keep the order that they are written in.
set(kernel_flags
  $<$<Fortran_COMPILER_ID:GNU>:-O3 -std=f2018 -fimplicit-none -Wall -Wextra -Wno-unused-dummy-argument>
  $<$<Fortran_COMPILER_ID:LLVMFlang>:-O3 -std=f2018>
  $<$<Fortran_COMPILER_ID:NVHPC>:-O3 -Kieee>)
string(TOLOWER "${CMAKE_SYSTEM_PROCESSOR}" processor)
if(ECGKERN_NATIVE)
  # Left to itself gcc uses 256-bit vectors on processors that have 512-bit ones; and where it takes a new AMD processor
  # for a Zen 3, its tuning reads the operands of the matrix products from memory for each use (1.3 times the time).
  list(APPEND kernel_flags
    $<$<Fortran_COMPILER_ID:GNU,LLVMFlang>:-march=native>
    $<$<Fortran_COMPILER_ID:NVHPC>:-tp=native>)
  if(processor MATCHES "x86_64|amd64")
    list(APPEND kernel_flags $<$<Fortran_COMPILER_ID:GNU>:-mprefer-vector-width=512 -mtune=generic>)
  endif()
elseif(processor MATCHES "x86_64|amd64")
  list(APPEND kernel_flags
    $<$<Fortran_COMPILER_ID:GNU,LLVMFlang>:-march=x86-64-v3>
    $<$<Fortran_COMPILER_ID:NVHPC>:-tp=haswell>)
endif()

# The vector registers of the processor compiled for: a folder of fortran/registers.
set(registers other)
if(processor MATCHES "x86_64|amd64")
  set(registers avx2)
  if(ECGKERN_NATIVE)
    file(WRITE "${CMAKE_CURRENT_BINARY_DIR}/empty.c" "")
    execute_process(
      COMMAND "${CMAKE_C_COMPILER}" -march=native -dM -E "${CMAKE_CURRENT_BINARY_DIR}/empty.c"
      OUTPUT_VARIABLE macros ERROR_QUIET)
    if(macros MATCHES "__AVX512F__")
      set(registers avx512)
    endif()
  endif()
endif()
message(STATUS "ecgkern: vector registers: ${registers}")
