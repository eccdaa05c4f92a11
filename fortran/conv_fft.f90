!> The conv family by Fourier transform (conv_fft.inc), in float32 and in float64: Fortran has no templates.
module conv_fft_layout
    use kinds, only: i64
    implicit none
    private

    !> Numbers that many procedures need.
    type, public :: spectral_layout
        integer(i64) :: n_records, n_in, length, n_channels, n_weights, n_merged, n_out
        integer(i64) :: n_chosen  !< channels that are computed by Fourier transform
        integer(i64) :: dilation
        integer(i64) :: n_radices
        integer(i64) :: period  !< of the transform: 8 times the product of the radices
        integer(i64) :: n_segments  !< of a phase, every dilation-th moment of a record
        integer(i64) :: step  !< moments of a phase from one segment to the next
        integer(i64) :: lead  !< moments of a phase before a segment with which its period begins
        integer(i64) :: n_batch  !< units whose spectra are kept
        integer(i64) :: n_together  !< units of them that are worked on at a time
        logical :: relu, with_merge
    end type spectral_layout
end module conv_fft_layout

module conv_fft_f32
    use kinds, only: wp => f32, f64, i64
    use conv_fft_layout, only: spectral_layout
    use fft_f32, only: lanes, pass_of_8, inverse_pass_of_8, transform_block, invert_block
    !$ use omp_lib, only: omp_get_thread_num
    implicit none
    private
    public :: convolve, differentiate
    include "conv_fft.inc"
end module conv_fft_f32

module conv_fft_f64
    use kinds, only: wp => f64, f64, i64
    use conv_fft_layout, only: spectral_layout
    use fft_f64, only: lanes, pass_of_8, inverse_pass_of_8, transform_block, invert_block
    !$ use omp_lib, only: omp_get_thread_num
    implicit none
    private
    public :: convolve, differentiate
    include "conv_fft.inc"
end module conv_fft_f64
