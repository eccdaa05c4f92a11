!> Scalar products of many vectors at a time (products.inc), in float32 and in float64: Fortran has no templates.
module products_f32
    use kinds, only: wp => f32, i64
    implicit none
    private
    public :: block_of_products, block_of_distances, block_rows, block_columns
    include "registers.inc"
    include "products.inc"
end module products_f32

module products_f64
    use kinds, only: wp => f64, i64
    implicit none
    private
    public :: block_of_products, block_of_distances, block_rows, block_columns
    include "registers.inc"
    include "products.inc"
end module products_f64
