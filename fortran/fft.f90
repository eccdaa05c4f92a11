!> Fourier transforms of many signals side by side (fft.inc), in float32 and in float64: Fortran has no templates.
module fft_f32
    use kinds, only: wp => f32, i64
    implicit none
    private
    public :: lanes, pass_of_8, inverse_pass_of_8, transform_block, invert_block
    include "registers.inc"
    !> Registers of 512 bits take 1.1 times as long for a channel on AMD Zen 4, where twice as much of a transform fits
    !> into the caches with 256.
    integer(i64), parameter :: lanes = min(vector_bytes, 32_i64)*8/storage_size(1.0_wp)
    include "fft.inc"
end module fft_f32

module fft_f64
    use kinds, only: wp => f64, i64
    implicit none
    private
    public :: lanes, pass_of_8, inverse_pass_of_8, transform_block, invert_block
    include "registers.inc"
    integer(i64), parameter :: lanes = min(vector_bytes, 32_i64)*8/storage_size(1.0_wp)
    include "fft.inc"
end module fft_f64
