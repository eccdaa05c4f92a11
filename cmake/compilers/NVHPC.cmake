# nvfortran of the NVIDIA HPC SDK. Chosen from its manuals and not yet run: docs/fortran.md lists what that leaves open.

set(kernel_flags
  -O3
  -Kieee  # quotients and roots are rounded, not approximated
  -Mvect=noassoc  # vector instructions, but sums in the order that they are written in
  -Mnoflushz -Mnodaz  # numbers too small to be normal count, as with the other compilers
  -Minform=warn)
# CMake's own release flags are -fast, which undoes the three lines above.
string(REPLACE "-fast" "" CMAKE_Fortran_FLAGS_RELEASE "${CMAKE_Fortran_FLAGS_RELEASE}")
# Multiplications and additions are fused, as the other compilers do: no result is compared bit by bit between compilers.
if(ECGKERN_NATIVE)
  list(APPEND kernel_flags -tp=native)
elseif(x86)
  list(APPEND kernel_flags -tp=haswell)  # any processor of the last ten years
endif()

set(offload_flags
  -mp=gpu
  # Without a card at hand code for every generation is made, unless these are named: A100, and H100 or H200.
  # Arrays are copied where the directives say so: NumPy's memory is not the driver's to move, and unified memory is not
  # on every machine.
  -gpu=cc80,cc90,mem:separate
  -Minfo=mp)  # says which loops became kernels; one that did not would run on the host in silence
