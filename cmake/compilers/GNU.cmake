# gfortran, 12 or newer: the compiler that the kernels are tuned with. None of the options changes the order of a sum.

set(kernel_flags
  -O3
  -std=f2018 -fimplicit-none  # what the other compilers take as well
  -Wall -Wextra)
if(ECGKERN_NATIVE)
  list(APPEND kernel_flags -march=native)
  if(x86)
    list(APPEND kernel_flags
      -mprefer-vector-width=512  # left to itself gcc uses 256-bit vectors on processors that have 512-bit ones
      # Where gcc takes a new AMD processor for a Zen 3, its tuning reads the operands of the matrix products from memory
      # for each use: 1.3 times the time.
      -mtune=generic)
  endif()
elseif(x86)
  list(APPEND kernel_flags -march=x86-64-v3)  # any processor of the last ten years
endif()

# Sines and arc tangents must be inlined into the loops over points, or these are not turned into vector instructions;
# nor are choices between two results of which one might trap.
set_source_files_properties(fortran/geomag_kernels.f90 PROPERTIES
  COMPILE_OPTIONS "-fno-semantic-interposition;-finline-limit=10000;-fno-trapping-math")
# Sums that are set or copied as blocks of memory do not stay in registers (a third of the speed with 256-bit vectors).
set_source_files_properties(fortran/conv_kernels.f90 fortran/conv_fft.f90 PROPERTIES
  COMPILE_OPTIONS "-fno-tree-loop-distribute-patterns")
# Butterflies must be inlined into the loops over lanes.
set_source_files_properties(fortran/fft.f90 PROPERTIES
  COMPILE_OPTIONS "-fno-semantic-interposition;-finline-limit=10000")

set(offload_flags
  -fopenmp -foffload=nvptx-none
  # The default, sm_35, is one that the assembler of CUDA 13 refuses; sm_80 runs on every later card, compiled there.
  -foffload-options=nvptx-none=-misa=sm_80)
