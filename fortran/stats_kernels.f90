!> The kernels of the stats family in float32 and in float64: each text is compiled for both.
!> Fortran has no templates, and f2py reads neither generic interfaces nor preprocessed source.
module stats_products_f32
    use kinds, only: wp => f32, i64
    implicit none
    private
    public :: products_4_x_5, cityblock_4_x_5
    include "stats_products.inc"
end module stats_products_f32

module stats_products_f64
    use kinds, only: wp => f64, i64
    implicit none
    private
    public :: products_4_x_5, cityblock_4_x_5
    include "stats_products.inc"
end module stats_products_f64

module stats_pairs_f32
    use kinds, only: wp => f32, f32, f64, i8, i32, i64
    use stats_products_f32, only: products_4_x_5, cityblock_4_x_5
    use stats_products_f64, only: products_f64 => products_4_x_5
    !$ use omp_lib, only: omp_get_thread_num
    implicit none
    private
    public :: centre_rows, sum_pairs, measure_block, differentiate_pairs
    include "stats_pairs.inc"
end module stats_pairs_f32

module stats_pairs_f64
    use kinds, only: wp => f64, f32, f64, i8, i32, i64
    use stats_products_f64, only: products_4_x_5, cityblock_4_x_5, products_f64 => products_4_x_5
    !$ use omp_lib, only: omp_get_thread_num
    implicit none
    private
    public :: centre_rows, sum_pairs, measure_block, differentiate_pairs
    include "stats_pairs.inc"
end module stats_pairs_f64
