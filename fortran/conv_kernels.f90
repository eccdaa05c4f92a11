!> The kernels of the conv family: conv_tile.inc, for a block of rows and for a single one, and conv_kernels.inc. Each
!> is compiled in float32 and in float64: Fortran has no templates, and f2py reads neither generic interfaces nor
!> preprocessed source.
module conv_layout
    use kinds, only: i64
    implicit none
    private

    !> Numbers that many procedures need.
    type, public :: layout
        integer(i64) :: n_records, n_in, length, n_kernels, n_channels, n_weights, n_merged, n_out, dilation
        integer(i64) :: padding  !< moments that the longest kernel reaches before and after a record
        integer(i64) :: segment  !< moments that are worked on at a time
        logical :: relu, with_merge
    end type layout
end module conv_layout

module conv_block_f32
    use kinds, only: wp => f32, i64
    implicit none
    private
    public :: tile, tile_rows, tile_vectors, lanes
    include "registers.inc"
    !> 24 registers of 32 hold sums, or 12 of 16.
    integer(i64), parameter :: tile_rows = merge(8, 4, block_rows*block_columns > 16), tile_vectors = 3
    include "conv_tile.inc"
end module conv_block_f32

module conv_block_f64
    use kinds, only: wp => f64, i64
    implicit none
    private
    public :: tile, tile_rows, tile_vectors, lanes
    include "registers.inc"
    integer(i64), parameter :: tile_rows = merge(8, 4, block_rows*block_columns > 16), tile_vectors = 3
    include "conv_tile.inc"
end module conv_block_f64

module conv_row_f32
    use kinds, only: wp => f32, i64
    implicit none
    private
    public :: tile
    include "registers.inc"
    integer(i64), parameter :: tile_rows = 1, tile_vectors = 3
    include "conv_tile.inc"
end module conv_row_f32

module conv_row_f64
    use kinds, only: wp => f64, i64
    implicit none
    private
    public :: tile
    include "registers.inc"
    integer(i64), parameter :: tile_rows = 1, tile_vectors = 3
    include "conv_tile.inc"
end module conv_row_f64

module conv_kernels_f32
    use kinds, only: wp => f32, f64, i64
    use conv_layout, only: layout
    use conv_block_f32, only: tile_of_block => tile, tile_rows, tile_vectors, lanes
    use conv_row_f32, only: tile_of_row => tile
    use products_f32, only: block_of_products, block_rows, block_columns
    !$ use omp_lib, only: omp_get_thread_num
    implicit none
    private
    public :: convolve, differentiate
    include "conv_kernels.inc"
end module conv_kernels_f32

module conv_kernels_f64
    use kinds, only: wp => f64, f64, i64
    use conv_layout, only: layout
    use conv_block_f64, only: tile_of_block => tile, tile_rows, tile_vectors, lanes
    use conv_row_f64, only: tile_of_row => tile
    use products_f64, only: block_of_products, block_rows, block_columns
    !$ use omp_lib, only: omp_get_thread_num
    implicit none
    private
    public :: convolve, differentiate
    include "conv_kernels.inc"
end module conv_kernels_f64
