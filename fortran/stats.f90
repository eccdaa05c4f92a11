!> How far two samples are apart: the routines that Python calls. The arithmetic is in stats_kernels.f90 and, once for
!> both precisions, in stats_pairs.inc and stats_series.inc. Arguments arrive checked (python/ecgkern/stats).
!>
!> Kernels k between pairs of samples: samples of one or more groups stand in z, a column each, padded by zeros (direct:
!> features stand in columns), and are cut into tiles, ranges of samples of one group. Pairs of tiles give sums of k,
!> row sums, quadratic forms and gradients.
!>
!> Kolmogorov-Smirnov, feature by feature, with the empirical distribution functions F1 and F2 of two sorted samples:
!>   largest = max over pooled values v of F1(v) - F2(v),  smallest = min of the same, each with the first v it is at,
!> values of the first sample being looked at before those of the second.
!>
!> Dynamic time warping of x(:, i) and y(:, j), vectors over the dimensions:
!>   D(i, j) = |x(:, i) - y(:, j)|**2 + min(D(i - 1, j), D(i, j - 1), D(i - 1, j - 1)),  D(0, 0) = 0,
!> distance = D(n, m), within the band -max(0, n - m) - window < j - i < max(0, m - n) + window.
module stats
    use kinds, only: f32, f64, i8, i32, i64
    use lattice_paths, only: share_outside
    use stats_pairs_f32, only: centre_rows_f32 => centre_rows, sum_pairs_f32 => sum_pairs, &
        measure_block_f32 => measure_block, differentiate_pairs_f32 => differentiate_pairs, &
        add_panel_f32 => add_slopes
    use stats_pairs_f64, only: centre_rows_f64 => centre_rows, sum_pairs_f64 => sum_pairs, &
        measure_block_f64 => measure_block, differentiate_pairs_f64 => differentiate_pairs, &
        add_panel_f64 => add_slopes
    use stats_series_f32, only: merge_samples_f32 => merge_samples, warp_pairs_f32 => warp_pairs
    use stats_series_f64, only: merge_samples_f64 => merge_samples, warp_pairs_f64 => warp_pairs
    implicit none
    private
    public :: centre_f32, centre_f64, pass_over_pairs_f32, pass_over_pairs_f64, measures_f32, measures_f64, &
        slopes_f32, slopes_f64, add_slopes_f32, add_slopes_f64, ks_merge_f32, ks_merge_f64, ks_paths, dtw_f32, dtw_f64

contains

    !> z = x - shift, padded by zeros, and the squared lengths of its columns.
    subroutine centre_f32(n, n_features, depth, n_threads, x, shift, z, norms)
        !f2py threadsafe
        integer(i64), intent(in) :: n, n_features, depth, n_threads
        real(f32), intent(in) :: x(n_features, n), shift(n_features)
        real(f32), intent(inout) :: z(depth, n)
        real(f64), intent(inout) :: norms(n)

        call centre_rows_f32(n_threads, x, shift, z, norms)
    end subroutine centre_f32

    subroutine centre_f64(n, n_features, depth, n_threads, x, shift, z, norms)
        !f2py threadsafe
        integer(i64), intent(in) :: n, n_features, depth, n_threads
        real(f64), intent(in) :: x(n_features, n), shift(n_features)
        real(f64), intent(inout) :: z(depth, n)
        real(f64), intent(inout) :: norms(n)

        call centre_rows_f64(n_threads, x, shift, z, norms)
    end subroutine centre_f64

    !> Sums of kernels over pairs of samples, per chunk of tile rows. Without with_rows or with_forms, rows or forms
    !> (and signs) are not looked at.
    subroutine pass_over_pairs_f32(n1, n2, n_samples, n_tiles, n_groups, n_chunks, n_scales, n_mixes, n_forms, &
            n_layers, n_spread, n_threads, n_row_samples, n_sign_samples, direct, measure, form, exponent, coef0, z, &
            norms, tiles, tile_group, wanted, chunks, scales, squarings, mixes, with_rows, with_forms, signs, scratch, &
            spread_signs, sums, rows, forms)
        !f2py threadsafe
        integer(i64), intent(in) :: n1, n2, n_samples, n_tiles, n_groups, n_chunks, n_scales, n_mixes, n_forms
        integer(i64), intent(in) :: n_layers, n_spread, n_threads, n_row_samples, n_sign_samples
        integer(i32), intent(in) :: direct, measure, form, with_rows, with_forms
        real(f64), intent(in) :: exponent, coef0
        real(f32), intent(in) :: z(n1, n2)
        real(f64), intent(in) :: norms(n_samples)
        integer(i64), intent(in) :: tiles(2, n_tiles), tile_group(n_tiles)
        integer(i32), intent(in) :: wanted(n_groups, n_groups)
        integer(i64), intent(in) :: chunks(2, n_chunks)
        real(f64), intent(in) :: scales(n_scales)
        integer(i64), intent(in) :: squarings(n_scales)
        real(f64), intent(in) :: mixes(n_scales, n_mixes)
        integer(i8), intent(in) :: signs(n_sign_samples, n_forms)
        real(f64), intent(inout) :: scratch(120, 120, n_layers, n_threads), spread_signs(120, n_spread, n_threads)
        real(f64), intent(inout) :: sums(n_scales, n_groups, n_groups, n_chunks)
        real(f64), intent(inout) :: rows(n_row_samples, n_groups, n_mixes, n_chunks), forms(n_forms, n_mixes, n_chunks)

        call sum_pairs_f32(direct /= 0, measure, form, exponent, coef0, z, norms, tiles, tile_group, wanted, chunks, &
            scales, squarings, mixes, signs, with_rows /= 0, with_forms /= 0, scratch, spread_signs, sums, rows, forms)
    end subroutine pass_over_pairs_f32

    subroutine pass_over_pairs_f64(n1, n2, n_samples, n_tiles, n_groups, n_chunks, n_scales, n_mixes, n_forms, &
            n_layers, n_spread, n_threads, n_row_samples, n_sign_samples, direct, measure, form, exponent, coef0, z, &
            norms, tiles, tile_group, wanted, chunks, scales, squarings, mixes, with_rows, with_forms, signs, scratch, &
            spread_signs, sums, rows, forms)
        !f2py threadsafe
        integer(i64), intent(in) :: n1, n2, n_samples, n_tiles, n_groups, n_chunks, n_scales, n_mixes, n_forms
        integer(i64), intent(in) :: n_layers, n_spread, n_threads, n_row_samples, n_sign_samples
        integer(i32), intent(in) :: direct, measure, form, with_rows, with_forms
        real(f64), intent(in) :: exponent, coef0
        real(f64), intent(in) :: z(n1, n2)
        real(f64), intent(in) :: norms(n_samples)
        integer(i64), intent(in) :: tiles(2, n_tiles), tile_group(n_tiles)
        integer(i32), intent(in) :: wanted(n_groups, n_groups)
        integer(i64), intent(in) :: chunks(2, n_chunks)
        real(f64), intent(in) :: scales(n_scales)
        integer(i64), intent(in) :: squarings(n_scales)
        real(f64), intent(in) :: mixes(n_scales, n_mixes)
        integer(i8), intent(in) :: signs(n_sign_samples, n_forms)
        real(f64), intent(inout) :: scratch(120, 120, n_layers, n_threads), spread_signs(120, n_spread, n_threads)
        real(f64), intent(inout) :: sums(n_scales, n_groups, n_groups, n_chunks)
        real(f64), intent(inout) :: rows(n_row_samples, n_groups, n_mixes, n_chunks), forms(n_forms, n_mixes, n_chunks)

        call sum_pairs_f64(direct /= 0, measure, form, exponent, coef0, z, norms, tiles, tile_group, wanted, chunks, &
            scales, squarings, mixes, signs, with_rows /= 0, with_forms /= 0, scratch, spread_signs, sums, rows, forms)
    end subroutine pass_over_pairs_f64

    !> v(j, i) = the measure of samples a + i - 1 and b + j - 1, counted from 0.
    subroutine measures_f32(n1, n2, n_samples, n_a, n_b, n_threads, direct, measure, z, norms, a, b, scratch, v)
        !f2py threadsafe
        integer(i64), intent(in) :: n1, n2, n_samples, n_a, n_b, n_threads, a, b
        integer(i32), intent(in) :: direct, measure
        real(f32), intent(in) :: z(n1, n2)
        real(f64), intent(in) :: norms(n_samples)
        real(f64), intent(inout) :: scratch(120, 120, n_threads), v(n_b, n_a)

        call measure_block_f32(direct /= 0, measure, z, norms, a, b, scratch, v)
    end subroutine measures_f32

    subroutine measures_f64(n1, n2, n_samples, n_a, n_b, n_threads, direct, measure, z, norms, a, b, scratch, v)
        !f2py threadsafe
        integer(i64), intent(in) :: n1, n2, n_samples, n_a, n_b, n_threads, a, b
        integer(i32), intent(in) :: direct, measure
        real(f64), intent(in) :: z(n1, n2)
        real(f64), intent(in) :: norms(n_samples)
        real(f64), intent(inout) :: scratch(120, 120, n_threads), v(n_b, n_a)

        call measure_block_f64(direct /= 0, measure, z, norms, a, b, scratch, v)
    end subroutine measures_f64

    !> Derivatives of the kernel between the samples of two panels, tiles a(1) .. a(2) - 1 and b(1) .. b(2) - 1, counted
    !> from 0, and their transpose.
    subroutine slopes_f32(n1, n2, n_samples, n_tiles, n_scales, width, height, n_transposed, m_transposed, n_a, n_b, &
            n_threads, direct, measure, form, with_diagonal, exponent, coef0, factor, z, norms, tiles, a, b, scales, &
            squarings, weights, scratch, slopes, transposed, sums)
        !f2py threadsafe
        integer(i64), intent(in) :: n1, n2, n_samples, n_tiles, n_scales, width, height, n_transposed, m_transposed
        integer(i64), intent(in) :: n_a, n_b, n_threads
        integer(i32), intent(in) :: direct, measure, form, with_diagonal
        real(f64), intent(in) :: exponent, coef0, factor
        real(f32), intent(in) :: z(n1, n2)
        real(f64), intent(in) :: norms(n_samples)
        integer(i64), intent(in) :: tiles(2, n_tiles), a(2), b(2)
        real(f64), intent(in) :: scales(n_scales)
        integer(i64), intent(in) :: squarings(n_scales)
        real(f64), intent(in) :: weights(n_scales)
        real(f64), intent(inout) :: scratch(120, 120, n_threads)
        real(f32), intent(inout) :: slopes(width, height), transposed(n_transposed, m_transposed)
        real(f64), intent(inout) :: sums(n_b, n_a)

        call differentiate_pairs_f32(direct /= 0, measure, form, exponent, coef0, with_diagonal /= 0, factor, z, &
            norms, tiles, a, b, scales, squarings, weights, scratch, slopes, transposed, sums)
    end subroutine slopes_f32

    subroutine slopes_f64(n1, n2, n_samples, n_tiles, n_scales, width, height, n_transposed, m_transposed, n_a, n_b, &
            n_threads, direct, measure, form, with_diagonal, exponent, coef0, factor, z, norms, tiles, a, b, scales, &
            squarings, weights, scratch, slopes, transposed, sums)
        !f2py threadsafe
        integer(i64), intent(in) :: n1, n2, n_samples, n_tiles, n_scales, width, height, n_transposed, m_transposed
        integer(i64), intent(in) :: n_a, n_b, n_threads
        integer(i32), intent(in) :: direct, measure, form, with_diagonal
        real(f64), intent(in) :: exponent, coef0, factor
        real(f64), intent(in) :: z(n1, n2)
        real(f64), intent(in) :: norms(n_samples)
        integer(i64), intent(in) :: tiles(2, n_tiles), a(2), b(2)
        real(f64), intent(in) :: scales(n_scales)
        integer(i64), intent(in) :: squarings(n_scales)
        real(f64), intent(in) :: weights(n_scales)
        real(f64), intent(inout) :: scratch(120, 120, n_threads)
        real(f64), intent(inout) :: slopes(width, height), transposed(n_transposed, m_transposed)
        real(f64), intent(inout) :: sums(n_b, n_a)

        call differentiate_pairs_f64(direct /= 0, measure, form, exponent, coef0, with_diagonal /= 0, factor, z, &
            norms, tiles, a, b, scales, squarings, weights, scratch, slopes, transposed, sums)
    end subroutine slopes_f64

    !> What the samples first .. first + n - 1 add to the gradients of samples first_i .. first_i + n_i - 1, counted
    !> from 0.
    subroutine add_slopes_f32(width, height, c1, c2, n_samples, n_features, n_threads, measure, first_i, n_i, first, &
            n, slopes, columns, row_sums, gradients)
        !f2py threadsafe
        integer(i64), intent(in) :: width, height, c1, c2, n_samples, n_features, n_threads, first_i, n_i, first, n
        integer(i32), intent(in) :: measure
        real(f32), intent(inout) :: slopes(width, height)
        real(f32), intent(in) :: columns(c1, c2)
        real(f64), intent(inout) :: row_sums(n_samples)
        real(f32), intent(inout) :: gradients(n_features, n_samples)

        call add_panel_f32(n_threads, measure, first_i, n_i, first, n, slopes, columns, row_sums, gradients)
    end subroutine add_slopes_f32

    subroutine add_slopes_f64(width, height, c1, c2, n_samples, n_features, n_threads, measure, first_i, n_i, first, &
            n, slopes, columns, row_sums, gradients)
        !f2py threadsafe
        integer(i64), intent(in) :: width, height, c1, c2, n_samples, n_features, n_threads, first_i, n_i, first, n
        integer(i32), intent(in) :: measure
        real(f64), intent(inout) :: slopes(width, height)
        real(f64), intent(in) :: columns(c1, c2)
        real(f64), intent(inout) :: row_sums(n_samples)
        real(f64), intent(inout) :: gradients(n_features, n_samples)

        call add_panel_f64(n_threads, measure, first_i, n_i, first, n, slopes, columns, row_sums, gradients)
    end subroutine add_slopes_f64

    !> A column of first and of second is one feature, sorted, free of NaN, and followed by one value more: +inf after
    !> first, NaN after second. scratch holds n_first + n_second counts for each of 4 features.
    subroutine ks_merge_f32(n_features, n_first, n_second, n_counts, first, second, scratch, largest, smallest, &
            at_largest, at_smallest)
        !f2py threadsafe
        integer(i64), intent(in) :: n_features, n_first, n_second, n_counts
        real(f32), intent(in) :: first(n_first, n_features), second(n_second, n_features)
        integer(i32), intent(inout) :: scratch(n_counts, 4)
        real(f64), intent(inout) :: largest(n_features), smallest(n_features)
        real(f32), intent(inout) :: at_largest(n_features), at_smallest(n_features)

        call merge_samples_f32(first, second, scratch, largest, smallest, at_largest, at_smallest)
    end subroutine ks_merge_f32

    subroutine ks_merge_f64(n_features, n_first, n_second, n_counts, first, second, scratch, largest, smallest, &
            at_largest, at_smallest)
        !f2py threadsafe
        integer(i64), intent(in) :: n_features, n_first, n_second, n_counts
        real(f64), intent(in) :: first(n_first, n_features), second(n_second, n_features)
        integer(i32), intent(inout) :: scratch(n_counts, 4)
        real(f64), intent(inout) :: largest(n_features), smallest(n_features)
        real(f64), intent(inout) :: at_largest(n_features), at_smallest(n_features)

        call merge_samples_f64(first, second, scratch, largest, smallest, at_largest, at_smallest)
    end subroutine ks_merge_f64

    !> share(k) is the exact probability of a difference of at least height(k)/lcm(n1, n2) under the null hypothesis,
    !> g being the greatest common divisor of n1 and n2.
    subroutine ks_paths(n_heights, n_scratch, n_threads, two_sided, n1, n2, g, height, scratch, share)
        !f2py threadsafe
        integer(i64), intent(in) :: n_heights, n_scratch, n_threads, n1, n2, g
        integer(i32), intent(in) :: two_sided
        integer(i64), intent(in) :: height(n_heights)
        real(f64), intent(inout) :: scratch(n_scratch, 2, n_threads), share(n_heights)

        call share_outside(two_sided /= 0, n1, n2, g, height, scratch, share)
    end subroutine ks_paths

    !> distance has n_x*n_y values with all_pairs, pairs with the same x together, else n_x = n_y values. scratch holds,
    !> for each of 16 pairs and of dims dimensions, both signals, and a row of length_y + 1 sums.
    subroutine dtw_f32(dims, length_x, length_y, n_x, n_y, n_pairs, n_scratch, n_threads, all_pairs, window, x, y, &
            scratch, distance)
        !f2py threadsafe
        integer(i64), intent(in) :: dims, length_x, length_y, n_x, n_y, n_pairs, n_scratch, n_threads, window
        integer(i32), intent(in) :: all_pairs
        real(f32), intent(in) :: x(dims, length_x, n_x), y(dims, length_y, n_y)
        real(f64), intent(inout) :: scratch(n_scratch, n_threads), distance(n_pairs)

        call warp_pairs_f32(all_pairs /= 0, window, x, y, scratch, distance)
    end subroutine dtw_f32

    subroutine dtw_f64(dims, length_x, length_y, n_x, n_y, n_pairs, n_scratch, n_threads, all_pairs, window, x, y, &
            scratch, distance)
        !f2py threadsafe
        integer(i64), intent(in) :: dims, length_x, length_y, n_x, n_y, n_pairs, n_scratch, n_threads, window
        integer(i32), intent(in) :: all_pairs
        real(f64), intent(in) :: x(dims, length_x, n_x), y(dims, length_y, n_y)
        real(f64), intent(inout) :: scratch(n_scratch, n_threads), distance(n_pairs)

        call warp_pairs_f64(all_pairs /= 0, window, x, y, scratch, distance)
    end subroutine dtw_f64

end module stats
