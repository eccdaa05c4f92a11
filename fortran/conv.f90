!> Multi-scale dilated convolution and its gradients: the routines that Python calls. The arithmetic, once for both
!> precisions, is in conv_kernels.inc.
!>
!>   h(t, c) = bias(c) + sum over inputs i, taps k of  w(k, i, c) * x(t + dilation * (k - centre), i),   x = 0 outside
!>   y(t, m) = merge_bias(m) + sum over c of  merge_weight(c, m) * a(t, c),   a = max(h, 0) with relu, else h
!>
!> for every record. Kernels of channels(g) channels and sizes(g) taps, an odd number, stand one after another in
!> `weights`; c counts the channels of all of them. Without has_merge the result is a, and merge_weight and merge_bias
!> are not read. padding is what the longest kernel reaches beyond a record; segment is the number of moments that are
!> worked on at a time, a multiple of 48. The other arguments are scratch, a slice for each thread where n_threads says
!> so. Arguments arrive checked (python/ecgkern/conv).
module conv
    use conv_layout, only: layout
    use kinds, only: f32, f64, i32, i64
    use conv_kernels_f32, only: convolve_f32 => convolve, differentiate_f32 => differentiate
    use conv_kernels_f64, only: convolve_f64 => convolve, differentiate_f64 => differentiate
    use conv_fft_layout, only: spectral_layout
    use conv_fft_f32, only: convolve_fft_f32 => convolve, differentiate_fft_f32 => differentiate
    use conv_fft_f64, only: convolve_fft_f64 => convolve, differentiate_fft_f64 => differentiate
    implicit none
    private
    public :: multiscale_conv1d_f32, multiscale_conv1d_f64, multiscale_conv1d_grad_f32, multiscale_conv1d_grad_f64
    public :: multiscale_conv1d_fft_f32, multiscale_conv1d_fft_f64
    public :: multiscale_conv1d_fft_grad_f32, multiscale_conv1d_fft_grad_f64

contains

    subroutine multiscale_conv1d_f32(n_records, n_in, length, n_kernels, n_channels, n_weights, n_merged, n_out, &
            n_taps, n_rows, n_padded, n_tile, n_threads, dilation, padding, segment, relu, has_merge, &
            channels, sizes, weights, biases, merge_weight, merge_bias, x, taps, rows, packed, packed_merge, padded, &
            activations, merged, out)
        !f2py threadsafe
        integer(i64), intent(in) :: n_records, n_in, length, n_kernels, n_channels, n_weights, n_merged, n_out
        integer(i64), intent(in) :: n_taps, n_rows, n_padded, n_tile, n_threads
        integer(i64), intent(in) :: dilation, padding, segment
        integer(i32), intent(in) :: relu, has_merge
        integer(i64), intent(in) :: channels(n_kernels), sizes(n_kernels)
        real(f32), intent(in) :: weights(n_weights), biases(n_channels)
        real(f32), intent(in) :: merge_weight(n_channels, n_merged), merge_bias(n_merged), x(length, n_in, n_records)
        integer(i64), intent(inout) :: taps(n_taps), rows(n_rows)
        real(f32), intent(inout) :: packed(n_weights), packed_merge(n_channels*n_merged), padded(n_padded, n_threads)
        real(f32), intent(inout) :: activations(n_tile, n_channels, n_threads), merged(n_tile, n_merged, n_threads)
        real(f32), intent(inout) :: out(length, n_out, n_records)

        call convolve_f32(layout(n_records, n_in, length, n_kernels, n_channels, n_weights, n_merged, n_out, dilation, &
            padding, segment, relu /= 0, has_merge /= 0), channels, sizes, weights, biases, merge_weight, merge_bias, &
            x, n_taps, taps, n_rows, rows, packed, packed_merge, n_padded, n_tile, n_threads, padded, activations, &
            merged, out)
    end subroutine multiscale_conv1d_f32

    subroutine multiscale_conv1d_f64(n_records, n_in, length, n_kernels, n_channels, n_weights, n_merged, n_out, &
            n_taps, n_rows, n_padded, n_tile, n_threads, dilation, padding, segment, relu, has_merge, &
            channels, sizes, weights, biases, merge_weight, merge_bias, x, taps, rows, packed, packed_merge, padded, &
            activations, merged, out)
        !f2py threadsafe
        integer(i64), intent(in) :: n_records, n_in, length, n_kernels, n_channels, n_weights, n_merged, n_out
        integer(i64), intent(in) :: n_taps, n_rows, n_padded, n_tile, n_threads
        integer(i64), intent(in) :: dilation, padding, segment
        integer(i32), intent(in) :: relu, has_merge
        integer(i64), intent(in) :: channels(n_kernels), sizes(n_kernels)
        real(f64), intent(in) :: weights(n_weights), biases(n_channels)
        real(f64), intent(in) :: merge_weight(n_channels, n_merged), merge_bias(n_merged), x(length, n_in, n_records)
        integer(i64), intent(inout) :: taps(n_taps), rows(n_rows)
        real(f64), intent(inout) :: packed(n_weights), packed_merge(n_channels*n_merged), padded(n_padded, n_threads)
        real(f64), intent(inout) :: activations(n_tile, n_channels, n_threads), merged(n_tile, n_merged, n_threads)
        real(f64), intent(inout) :: out(length, n_out, n_records)

        call convolve_f64(layout(n_records, n_in, length, n_kernels, n_channels, n_weights, n_merged, n_out, dilation, &
            padding, segment, relu /= 0, has_merge /= 0), channels, sizes, weights, biases, merge_weight, merge_bias, &
            x, n_taps, taps, n_rows, rows, packed, packed_merge, n_padded, n_tile, n_threads, padded, activations, &
            merged, out)
    end subroutine multiscale_conv1d_f64

    !> Adds the gradients of sum(grad_out * y), per chunk of records bounds(i) + 1 .. bounds(i + 1), to the sums. grad_x
    !> is written, and has all the records, with need_x only.
    subroutine multiscale_conv1d_grad_f32(n_records, n_in, length, n_kernels, n_channels, n_weights, n_merged, n_out, &
            n_chunks, n_taps, n_rows, n_transposed, n_padded, n_upstream, n_activations, n_gradients, &
            n_terms, n_grad_x, n_threads, dilation, padding, segment, relu, has_merge, need_x, channels, sizes, &
            weights, biases, merge_weight, bounds, x, grad_out, taps, rows, packed, packed_merge, transposed, padded, &
            upstream, activations, gradients, terms, weight_sums, bias_sums, merge_sums, merge_bias_sums, grad_x)
        !f2py threadsafe
        integer(i64), intent(in) :: n_records, n_in, length, n_kernels, n_channels, n_weights, n_merged, n_out
        integer(i64), intent(in) :: n_chunks, n_taps, n_rows, n_transposed, n_padded, n_upstream
        integer(i64), intent(in) :: n_activations, n_gradients, n_terms, n_grad_x, n_threads
        integer(i64), intent(in) :: dilation, padding, segment
        integer(i32), intent(in) :: relu, has_merge, need_x
        integer(i64), intent(in) :: channels(n_kernels), sizes(n_kernels), bounds(n_chunks + 1)
        real(f32), intent(in) :: weights(n_weights), biases(n_channels), merge_weight(n_channels, n_merged)
        real(f32), intent(in) :: x(length, n_in, n_records), grad_out(length, n_out, n_records)
        integer(i64), intent(inout) :: taps(n_taps), rows(n_rows)
        real(f32), intent(inout) :: packed(n_weights), packed_merge(n_channels*n_merged), transposed(n_transposed)
        real(f32), intent(inout) :: padded(n_padded, n_threads), upstream(segment, n_upstream, n_threads)
        real(f32), intent(inout) :: activations(segment, n_activations, n_threads)
        real(f32), intent(inout) :: gradients(segment, n_gradients, n_threads), terms(segment, n_terms, n_threads)
        real(f64), intent(inout) :: weight_sums(n_weights, n_chunks), bias_sums(n_channels, n_chunks)
        real(f64), intent(inout) :: merge_sums(n_channels, n_merged, n_chunks), merge_bias_sums(n_merged, n_chunks)
        real(f32), intent(inout) :: grad_x(length, n_in, n_grad_x)

        call differentiate_f32(layout(n_records, n_in, length, n_kernels, n_channels, n_weights, n_merged, n_out, &
            dilation, padding, segment, relu /= 0, has_merge /= 0), need_x /= 0, channels, sizes, weights, biases, &
            merge_weight, n_chunks, bounds, x, grad_out, n_taps, taps, n_rows, rows, packed, packed_merge, &
            n_transposed, transposed, n_padded, n_upstream, n_activations, n_gradients, n_terms, n_threads, padded, &
            upstream, activations, gradients, terms, weight_sums, bias_sums, merge_sums, merge_bias_sums, n_grad_x, &
            grad_x)
    end subroutine multiscale_conv1d_grad_f32

    subroutine multiscale_conv1d_grad_f64(n_records, n_in, length, n_kernels, n_channels, n_weights, n_merged, n_out, &
            n_chunks, n_taps, n_rows, n_transposed, n_padded, n_upstream, n_activations, n_gradients, &
            n_terms, n_grad_x, n_threads, dilation, padding, segment, relu, has_merge, need_x, channels, sizes, &
            weights, biases, merge_weight, bounds, x, grad_out, taps, rows, packed, packed_merge, transposed, padded, &
            upstream, activations, gradients, terms, weight_sums, bias_sums, merge_sums, merge_bias_sums, grad_x)
        !f2py threadsafe
        integer(i64), intent(in) :: n_records, n_in, length, n_kernels, n_channels, n_weights, n_merged, n_out
        integer(i64), intent(in) :: n_chunks, n_taps, n_rows, n_transposed, n_padded, n_upstream
        integer(i64), intent(in) :: n_activations, n_gradients, n_terms, n_grad_x, n_threads
        integer(i64), intent(in) :: dilation, padding, segment
        integer(i32), intent(in) :: relu, has_merge, need_x
        integer(i64), intent(in) :: channels(n_kernels), sizes(n_kernels), bounds(n_chunks + 1)
        real(f64), intent(in) :: weights(n_weights), biases(n_channels), merge_weight(n_channels, n_merged)
        real(f64), intent(in) :: x(length, n_in, n_records), grad_out(length, n_out, n_records)
        integer(i64), intent(inout) :: taps(n_taps), rows(n_rows)
        real(f64), intent(inout) :: packed(n_weights), packed_merge(n_channels*n_merged), transposed(n_transposed)
        real(f64), intent(inout) :: padded(n_padded, n_threads), upstream(segment, n_upstream, n_threads)
        real(f64), intent(inout) :: activations(segment, n_activations, n_threads)
        real(f64), intent(inout) :: gradients(segment, n_gradients, n_threads), terms(segment, n_terms, n_threads)
        real(f64), intent(inout) :: weight_sums(n_weights, n_chunks), bias_sums(n_channels, n_chunks)
        real(f64), intent(inout) :: merge_sums(n_channels, n_merged, n_chunks), merge_bias_sums(n_merged, n_chunks)
        real(f64), intent(inout) :: grad_x(length, n_in, n_grad_x)

        call differentiate_f64(layout(n_records, n_in, length, n_kernels, n_channels, n_weights, n_merged, n_out, &
            dilation, padding, segment, relu /= 0, has_merge /= 0), need_x /= 0, channels, sizes, weights, biases, &
            merge_weight, n_chunks, bounds, x, grad_out, n_taps, taps, n_rows, rows, packed, packed_merge, &
            n_transposed, transposed, n_padded, n_upstream, n_activations, n_gradients, n_terms, n_threads, padded, &
            upstream, activations, gradients, terms, weight_sums, bias_sums, merge_sums, merge_bias_sums, n_grad_x, &
            grad_x)
    end subroutine multiscale_conv1d_grad_f64

    !> Adds what the chosen channels contribute to the result, by Fourier transform; without has_merge writes these
    !> channels of it. Their kernels, of sizes(c) taps, stand in `weights` after starts(c). conv_fft.f90 explains the
    !> numbers of the transform, which python/ecgkern/conv/_fft.py chooses.
    subroutine multiscale_conv1d_fft_f32(n_records, n_in, length, n_channels, n_weights, n_merged, n_out, &
            n_chosen, n_radices, n_roots, n_shared, n_scratch, n_threads, dilation, period, n_segments, step, lead, &
            n_batch, n_together, relu, has_merge, chosen, starts, sizes, radices, roots, weights, biases, &
            merge_weight, x, spectra, scratch, out)
        !f2py threadsafe
        integer(i64), intent(in) :: n_records, n_in, length, n_channels, n_weights, n_merged, n_out
        integer(i64), intent(in) :: n_chosen, n_radices, n_roots, n_shared, n_scratch, n_threads
        integer(i64), intent(in) :: dilation, period, n_segments, step, lead, n_batch, n_together
        integer(i32), intent(in) :: relu, has_merge
        integer(i64), intent(in) :: chosen(n_chosen), starts(n_chosen), sizes(n_chosen), radices(n_radices)
        real(f32), intent(in) :: roots(2, n_roots), weights(n_weights), biases(n_channels)
        real(f32), intent(in) :: merge_weight(n_channels, n_merged), x(length, n_in, n_records)
        real(f32), intent(inout) :: spectra(n_shared), scratch(n_scratch, n_threads)
        real(f32), intent(inout) :: out(length, n_out, n_records)

        call convolve_fft_f32(spectral_layout(n_records, n_in, length, n_channels, n_weights, n_merged, n_out, &
            n_chosen, dilation, n_radices, period, n_segments, step, lead, n_batch, n_together, relu /= 0, &
            has_merge /= 0), chosen, starts, sizes, radices, n_roots, roots, weights, biases, merge_weight, x, &
            n_shared, spectra, n_scratch, n_threads, scratch, out)
    end subroutine multiscale_conv1d_fft_f32

    subroutine multiscale_conv1d_fft_f64(n_records, n_in, length, n_channels, n_weights, n_merged, n_out, &
            n_chosen, n_radices, n_roots, n_shared, n_scratch, n_threads, dilation, period, n_segments, step, lead, &
            n_batch, n_together, relu, has_merge, chosen, starts, sizes, radices, roots, weights, biases, &
            merge_weight, x, spectra, scratch, out)
        !f2py threadsafe
        integer(i64), intent(in) :: n_records, n_in, length, n_channels, n_weights, n_merged, n_out
        integer(i64), intent(in) :: n_chosen, n_radices, n_roots, n_shared, n_scratch, n_threads
        integer(i64), intent(in) :: dilation, period, n_segments, step, lead, n_batch, n_together
        integer(i32), intent(in) :: relu, has_merge
        integer(i64), intent(in) :: chosen(n_chosen), starts(n_chosen), sizes(n_chosen), radices(n_radices)
        real(f64), intent(in) :: roots(2, n_roots), weights(n_weights), biases(n_channels)
        real(f64), intent(in) :: merge_weight(n_channels, n_merged), x(length, n_in, n_records)
        real(f64), intent(inout) :: spectra(n_shared), scratch(n_scratch, n_threads)
        real(f64), intent(inout) :: out(length, n_out, n_records)

        call convolve_fft_f64(spectral_layout(n_records, n_in, length, n_channels, n_weights, n_merged, n_out, &
            n_chosen, dilation, n_radices, period, n_segments, step, lead, n_batch, n_together, relu /= 0, &
            has_merge /= 0), chosen, starts, sizes, radices, n_roots, roots, weights, biases, merge_weight, x, &
            n_shared, spectra, n_scratch, n_threads, scratch, out)
    end subroutine multiscale_conv1d_fft_f64

    !> Adds the gradients of the chosen channels to the sums, and what they contribute to that of x to grad_x.
    subroutine multiscale_conv1d_fft_grad_f32(n_records, n_in, length, n_channels, n_weights, n_merged, n_out, &
            n_chosen, n_radices, n_roots, n_chunks, n_shared, n_scratch, n_totals, n_grad_x, n_threads, dilation, &
            period, n_segments, step, lead, n_batch, n_together, relu, has_merge, need_x, chosen, starts, sizes, &
            radices, roots, weights, biases, merge_weight, bounds, x, grad_out, spectra, scratch, totals, &
            weight_sums, bias_sums, merge_sums, grad_x)
        !f2py threadsafe
        integer(i64), intent(in) :: n_records, n_in, length, n_channels, n_weights, n_merged, n_out
        integer(i64), intent(in) :: n_chosen, n_radices, n_roots, n_chunks, n_shared, n_scratch, n_totals, n_grad_x
        integer(i64), intent(in) :: n_threads, dilation, period, n_segments, step, lead, n_batch, n_together
        integer(i32), intent(in) :: relu, has_merge, need_x
        integer(i64), intent(in) :: chosen(n_chosen), starts(n_chosen), sizes(n_chosen), radices(n_radices)
        integer(i64), intent(in) :: bounds(n_chunks + 1)
        real(f32), intent(in) :: roots(2, n_roots), weights(n_weights), biases(n_channels)
        real(f32), intent(in) :: merge_weight(n_channels, n_merged), x(length, n_in, n_records)
        real(f32), intent(in) :: grad_out(length, n_out, n_records)
        real(f32), intent(inout) :: spectra(n_shared), scratch(n_scratch, n_threads)
        real(f64), intent(inout) :: totals(n_totals, n_threads), weight_sums(n_weights, n_chunks)
        real(f64), intent(inout) :: bias_sums(n_channels, n_chunks), merge_sums(n_channels, n_merged, n_chunks)
        real(f32), intent(inout) :: grad_x(length, n_in, n_grad_x)

        call differentiate_fft_f32(spectral_layout(n_records, n_in, length, n_channels, n_weights, n_merged, &
            n_out, n_chosen, dilation, n_radices, period, n_segments, step, lead, n_batch, n_together, relu /= 0, &
            has_merge /= 0), need_x /= 0, chosen, starts, sizes, radices, n_roots, roots, weights, biases, &
            merge_weight, n_chunks, bounds, x, grad_out, n_shared, spectra, n_scratch, n_totals, n_threads, scratch, &
            totals, weight_sums, bias_sums, merge_sums, grad_x)
    end subroutine multiscale_conv1d_fft_grad_f32

    subroutine multiscale_conv1d_fft_grad_f64(n_records, n_in, length, n_channels, n_weights, n_merged, n_out, &
            n_chosen, n_radices, n_roots, n_chunks, n_shared, n_scratch, n_totals, n_grad_x, n_threads, dilation, &
            period, n_segments, step, lead, n_batch, n_together, relu, has_merge, need_x, chosen, starts, sizes, &
            radices, roots, weights, biases, merge_weight, bounds, x, grad_out, spectra, scratch, totals, &
            weight_sums, bias_sums, merge_sums, grad_x)
        !f2py threadsafe
        integer(i64), intent(in) :: n_records, n_in, length, n_channels, n_weights, n_merged, n_out
        integer(i64), intent(in) :: n_chosen, n_radices, n_roots, n_chunks, n_shared, n_scratch, n_totals, n_grad_x
        integer(i64), intent(in) :: n_threads, dilation, period, n_segments, step, lead, n_batch, n_together
        integer(i32), intent(in) :: relu, has_merge, need_x
        integer(i64), intent(in) :: chosen(n_chosen), starts(n_chosen), sizes(n_chosen), radices(n_radices)
        integer(i64), intent(in) :: bounds(n_chunks + 1)
        real(f64), intent(in) :: roots(2, n_roots), weights(n_weights), biases(n_channels)
        real(f64), intent(in) :: merge_weight(n_channels, n_merged), x(length, n_in, n_records)
        real(f64), intent(in) :: grad_out(length, n_out, n_records)
        real(f64), intent(inout) :: spectra(n_shared), scratch(n_scratch, n_threads)
        real(f64), intent(inout) :: totals(n_totals, n_threads), weight_sums(n_weights, n_chunks)
        real(f64), intent(inout) :: bias_sums(n_channels, n_chunks), merge_sums(n_channels, n_merged, n_chunks)
        real(f64), intent(inout) :: grad_x(length, n_in, n_grad_x)

        call differentiate_fft_f64(spectral_layout(n_records, n_in, length, n_channels, n_weights, n_merged, &
            n_out, n_chosen, dilation, n_radices, period, n_segments, step, lead, n_batch, n_together, relu /= 0, &
            has_merge /= 0), need_x /= 0, chosen, starts, sizes, radices, n_roots, roots, weights, biases, &
            merge_weight, n_chunks, bounds, x, grad_out, n_shared, spectra, n_scratch, n_totals, n_threads, scratch, &
            totals, weight_sums, bias_sums, merge_sums, grad_x)
    end subroutine multiscale_conv1d_fft_grad_f64

end module conv
