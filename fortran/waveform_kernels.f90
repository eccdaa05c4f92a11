!> The waveform kernels in float32 and in float64: one text, waveform_kernels.inc, compiled for each.
!> Fortran has no templates, and f2py reads neither generic interfaces nor preprocessed source.
module waveform_kernels_f32
    use kinds, only: wp => f32, f32, f64, i32, i64
    !$ use omp_lib, only: omp_get_thread_num
    implicit none
    private
    public :: synthesise, differentiate
    include "waveform_kernels.inc"
end module waveform_kernels_f32

module waveform_kernels_f64
    use kinds, only: wp => f64, f32, f64, i32, i64
    !$ use omp_lib, only: omp_get_thread_num
    implicit none
    private
    public :: synthesise, differentiate
    include "waveform_kernels.inc"
end module waveform_kernels_f64

!> The flags that the kernels are compiled with, as a constant: asking for it runs no code compiled with them.
module kernel_flags
    use, intrinsic :: iso_fortran_env, only: compiler_options
    implicit none
    private
    character(len=*), parameter, public :: options_of_the_kernels = compiler_options()
end module kernel_flags
