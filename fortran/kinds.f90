!> The number kinds of every Fortran kernel, tied to C so that NumPy arrays cross without conversion.
!> f2py learns the same names from fortran/f2cmap.
module kinds
    use, intrinsic :: iso_c_binding, only: f32 => c_float, f64 => c_double, i8 => c_int8_t, i32 => c_int, &
        i64 => c_int64_t
    implicit none
    private
    public :: f32, f64, i8, i32, i64
end module kinds
