!> The waveform kernels in float32 and in float64: one text, waveform_kernels.inc, compiled for each.
!> Fortran has no templates, and f2py reads neither generic interfaces nor preprocessed source.
module waveform_kernels_f32
    use kinds, only: wp => f32, f32, f64, i32, i64
    implicit none
    private
    public :: synthesise, differentiate
    include "waveform_kernels.inc"
end module waveform_kernels_f32

module waveform_kernels_f64
    use kinds, only: wp => f64, f32, f64, i32, i64
    implicit none
    private
    public :: synthesise, differentiate
    include "waveform_kernels.inc"
end module waveform_kernels_f64
