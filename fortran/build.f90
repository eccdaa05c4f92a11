!> How the Fortran kernels were built, asked of the compiler itself.
module build
    use, intrinsic :: iso_fortran_env, only: compiler_options, compiler_version
    use kinds, only: i32
    implicit none
    private
    public :: compiler

contains

    !> version and options are those of this file, which is compiled like all kernels; openmp is the date of the OpenMP
    !> standard in use (yyyymm), 0 without OpenMP.
    subroutine compiler(version, options, openmp)
        !$ use omp_lib, only: openmp_version
        character(len=256), intent(out) :: version
        character(len=4096), intent(out) :: options
        integer(i32), intent(out) :: openmp

        version = compiler_version()
        options = compiler_options()
        openmp = 0
        !$ openmp = openmp_version
    end subroutine compiler

end module build
