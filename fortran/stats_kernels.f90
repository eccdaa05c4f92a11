!> The kernels of the stats family: sums over pairs of samples (stats_pairs.inc, on products.f90), ranks and
!> warping (stats_series.inc), and lattice paths. Each .inc is compiled in float32 and in float64: Fortran has no
!> templates, and f2py reads neither generic interfaces nor preprocessed source.
module stats_pairs_f32
    use kinds, only: wp => f32, f32, f64, i8, i32, i64
    use products_f32, only: block_of_products, block_of_distances
    use products_f64, only: block_of_products_f64 => block_of_products
    !$ use omp_lib, only: omp_get_thread_num
    implicit none
    private
    public :: centre_rows, sum_pairs, measure_block, differentiate_pairs, add_slopes
    include "registers.inc"
    include "stats_pairs.inc"
end module stats_pairs_f32

module stats_pairs_f64
    use kinds, only: wp => f64, f32, f64, i8, i32, i64
    use products_f64, only: block_of_products, block_of_distances, block_of_products_f64 => block_of_products
    !$ use omp_lib, only: omp_get_thread_num
    implicit none
    private
    public :: centre_rows, sum_pairs, measure_block, differentiate_pairs, add_slopes
    include "registers.inc"
    include "stats_pairs.inc"
end module stats_pairs_f64

module stats_series_f32
    use, intrinsic :: ieee_arithmetic, only: ieee_value, ieee_positive_inf
    use kinds, only: wp => f32, f64, i32, i64
    !$ use omp_lib, only: omp_get_thread_num
    implicit none
    private
    public :: merge_samples, warp_pairs
    include "stats_series.inc"
end module stats_series_f32

module stats_series_f64
    use, intrinsic :: ieee_arithmetic, only: ieee_value, ieee_positive_inf
    use kinds, only: wp => f64, f64, i32, i64
    !$ use omp_lib, only: omp_get_thread_num
    implicit none
    private
    public :: merge_samples, warp_pairs
    include "stats_series.inc"
end module stats_series_f64

!> Exact p-values of Kolmogorov-Smirnov: how many lattice paths leave a strip.
module lattice_paths
    use kinds, only: f64, i64
    !$ use omp_lib, only: omp_get_thread_num
    implicit none
    private
    public :: share_outside

contains

    !> share(k) of the paths from (0, 0) to (n1, n2) come to a point with n2/g*i - n1/g*j >= height(k), or also to
    !> <= -height(k) where two_sided. With p(i, j) the share of the paths to (i, j) that came to one,
    !>   p(i, j) = (i*p(i - 1, j) + j*p(i, j - 1))/(i + j) inside the strip, 1 outside:
    !> sums of positive terms only. It goes by diagonals i + j = s, on which nothing depends on anything.
    subroutine share_outside(two_sided, n1, n2, g, height, scratch, share)
        logical, intent(in) :: two_sided
        integer(i64), intent(in) :: n1, n2, g, height(:)
        real(f64), intent(inout), contiguous :: scratch(:, :, :)
        real(f64), intent(inout), contiguous :: share(:)
        integer(i64) :: k
        integer :: thread

        thread = 1
        !$omp parallel num_threads(size(scratch, 3)) default(shared) private(thread, k)
        !$ thread = omp_get_thread_num() + 1
        !$omp do schedule(dynamic)
        do k = 1, size(height, kind=i64)
            call walk(two_sided, n1, n2, n1/g, n2/g, height(k), scratch(:, 1, thread), scratch(:, 2, thread), share(k))
        end do
        !$omp end do
        !$omp end parallel
    end subroutine share_outside

    !> A step in the first coordinate raises the difference by step1, one in the second lowers it by step2.
    pure subroutine walk(two_sided, n1, n2, step2, step1, height, even, odd, share)
        logical, intent(in) :: two_sided
        integer(i64), intent(in) :: n1, n2, step1, step2, height
        real(f64), intent(inout) :: even(-1:n1 + 1), odd(-1:n1 + 1)
        real(f64), intent(out) :: share
        integer(i64) :: s, low, high

        even = 1
        odd = 1
        even(0) = 0
        do s = 1, n1 + n2
            low = max(0_i64, s - n2)
            if (two_sided .and. step2*s >= height) low = max(low, (step2*s - height)/(step1 + step2) + 1)
            high = min(n1, s, (step2*s + height - 1)/(step1 + step2))
            if (low > high) then
                share = 1
                return
            end if
            if (mod(s, 2_i64) == 1) then
                call next_diagonal(s, low, high, even, odd)
            else
                call next_diagonal(s, low, high, odd, even)
            end if
        end do
        share = merge(even(n1), odd(n1), mod(n1 + n2, 2_i64) == 0)
    end subroutine walk

    pure subroutine next_diagonal(s, low, high, before, after)
        integer(i64), intent(in) :: s, low, high
        real(f64), intent(in), contiguous :: before(-1:)
        real(f64), intent(inout), contiguous :: after(-1:)
        integer(i64) :: i

        !$omp simd
        do i = low, high
            after(i) = (real(i, f64)*before(i - 1) + real(s - i, f64)*before(i))/real(s, f64)
        end do
        after(low - 1) = 1
        after(high + 1) = 1
    end subroutine next_diagonal

end module lattice_paths
