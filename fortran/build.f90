!> How the Fortran kernels were built. Compiled for any processor, unlike the kernels, so that Python can ask before it
!> calls them.
module build
    use, intrinsic :: iso_fortran_env, only: compiler_version
    use kernel_flags, only: options_of_the_kernels
    use kinds, only: i32
    implicit none
    private
    public :: compiler

contains

    !> openmp is the date of the OpenMP standard in use (yyyymm), 0 without OpenMP.
    subroutine compiler(version, options, openmp)
        !$ use omp_lib, only: openmp_version
        character(len=256), intent(out) :: version
        character(len=4096), intent(out) :: options
        integer(i32), intent(out) :: openmp

        version = compiler_version()
        options = options_of_the_kernels
        openmp = 0
        !$ openmp = openmp_version
    end subroutine compiler

end module build
