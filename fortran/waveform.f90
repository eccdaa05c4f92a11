!> Batches of ECGs as sums of Gaussian waves placed at R peaks, and the gradients of those sums: the routines that
!> Python calls. The arithmetic, once for both precisions, is in waveform_kernels.inc.
!>
!>   y(n, c, t) = sum over beats b of record n, waves w:  gain(c, w) * A(b, w) * g(t),
!>   g(t) = exp(-(t - m)**2 / (2 s**2)),  m = r(b) + delay(b, w),  s = width(b, w),  all times in samples,
!>
!> each wave cut off where |t - m| > cutoff * s. Beats of record n are row_offsets(n) + 1 .. row_offsets(n + 1).
!> n_sets is 1 when all beats share one set of waves, else n_beats. Without has_gain there is one lead, the plain sum
!> of the waves, and lead_gain is not read. Arguments arrive checked (python/ecgkern/waveform/__init__.py).
module waveform
    use kinds, only: f32, f64, i32, i64
    use waveform_kernels_f32, only: synthesise_f32 => synthesise, differentiate_f32 => differentiate
    use waveform_kernels_f64, only: synthesise_f64 => synthesise, differentiate_f64 => differentiate
    implicit none
    private
    public :: gaussian_waves_f32, gaussian_waves_f64, gaussian_waves_grad_f32, gaussian_waves_grad_f64

contains

    !> r_peaks ascend within each record; reach_before and reach_after bound how far, in samples, any wave extends to
    !> either side of its peak. scratch has a row per wave (one for all of them without has_gain); a row holds the part
    !> of a record that is worked on at a time, and 16 more.
    subroutine gaussian_waves_f32(n_records, n_beats, n_sets, n_waves, n_leads, length, n_rows, n_scratch, n_threads, &
            has_gain, row_offsets, r_peaks, amplitude, delay, width, lead_gain, cutoff, reach_before, reach_after, &
            scratch, out)
        !f2py threadsafe
        integer(i64), intent(in) :: n_records, n_beats, n_sets, n_waves, n_leads, length, n_rows, n_scratch, n_threads
        integer(i32), intent(in) :: has_gain
        integer(i64), intent(in) :: row_offsets(n_records + 1)
        real(f64), intent(in) :: r_peaks(n_beats)
        real(f64), intent(in) :: amplitude(n_waves, n_sets), delay(n_waves, n_sets), width(n_waves, n_sets)
        real(f64), intent(in) :: lead_gain(n_waves, n_leads), cutoff, reach_before, reach_after
        real(f32), intent(inout) :: scratch(n_scratch, n_rows, n_threads), out(length, n_leads, n_records)

        call synthesise_f32(has_gain /= 0, row_offsets, r_peaks, amplitude, delay, width, lead_gain, cutoff, &
            reach_before, reach_after, scratch, out)
    end subroutine gaussian_waves_f32

    subroutine gaussian_waves_f64(n_records, n_beats, n_sets, n_waves, n_leads, length, n_rows, n_scratch, n_threads, &
            has_gain, row_offsets, r_peaks, amplitude, delay, width, lead_gain, cutoff, reach_before, reach_after, &
            scratch, out)
        !f2py threadsafe
        integer(i64), intent(in) :: n_records, n_beats, n_sets, n_waves, n_leads, length, n_rows, n_scratch, n_threads
        integer(i32), intent(in) :: has_gain
        integer(i64), intent(in) :: row_offsets(n_records + 1)
        real(f64), intent(in) :: r_peaks(n_beats)
        real(f64), intent(in) :: amplitude(n_waves, n_sets), delay(n_waves, n_sets), width(n_waves, n_sets)
        real(f64), intent(in) :: lead_gain(n_waves, n_leads), cutoff, reach_before, reach_after
        real(f64), intent(inout) :: scratch(n_scratch, n_rows, n_threads), out(length, n_leads, n_records)

        call synthesise_f64(has_gain /= 0, row_offsets, r_peaks, amplitude, delay, width, lead_gain, cutoff, &
            reach_before, reach_after, scratch, out)
    end subroutine gaussian_waves_f64

    !> Gradients of sum(grad_out * y): per beat that of r_peaks, and in wave_sums those of amplitude, delay and width,
    !> per beat (n_sums = n_beats) or, where all beats share their waves, per chunk of beats (n_sums = n_chunks). Chunk
    !> i holds beats chunk_beats(i) + 1 .. chunk_beats(i + 1), the first of them in record chunk_records(i) or later.
    !> gain_sums is written only with has_gain. length must be at least 16.
    subroutine gaussian_waves_grad_f32(n_records, n_beats, n_sets, n_waves, n_leads, length, n_chunks, n_sums, &
            n_threads, has_gain, row_offsets, r_peaks, amplitude, delay, width, lead_gain, cutoff, chunk_beats, &
            chunk_records, wave_lanes, gain_lanes, grad_out, grad_r_peaks, wave_sums, gain_sums)
        !f2py threadsafe
        integer(i64), intent(in) :: n_records, n_beats, n_sets, n_waves, n_leads, length, n_chunks, n_sums, n_threads
        integer(i32), intent(in) :: has_gain
        integer(i64), intent(in) :: row_offsets(n_records + 1), chunk_beats(n_chunks + 1), chunk_records(n_chunks)
        real(f64), intent(in) :: r_peaks(n_beats)
        real(f64), intent(in) :: amplitude(n_waves, n_sets), delay(n_waves, n_sets), width(n_waves, n_sets)
        real(f64), intent(in) :: lead_gain(n_waves, n_leads), cutoff
        real(f64), intent(inout) :: wave_lanes(16, 3, n_waves, n_threads), gain_lanes(16, n_waves, n_leads, n_threads)
        real(f32), intent(in) :: grad_out(length, n_leads, n_records)
        real(f32), intent(inout) :: grad_r_peaks(n_beats)
        real(f64), intent(inout) :: wave_sums(3, n_waves, n_sums), gain_sums(n_waves, n_leads, n_chunks)

        call differentiate_f32(has_gain /= 0, row_offsets, r_peaks, amplitude, delay, width, lead_gain, cutoff, &
            chunk_beats, chunk_records, wave_lanes, gain_lanes, grad_out, grad_r_peaks, wave_sums, gain_sums)
    end subroutine gaussian_waves_grad_f32

    subroutine gaussian_waves_grad_f64(n_records, n_beats, n_sets, n_waves, n_leads, length, n_chunks, n_sums, &
            n_threads, has_gain, row_offsets, r_peaks, amplitude, delay, width, lead_gain, cutoff, chunk_beats, &
            chunk_records, wave_lanes, gain_lanes, grad_out, grad_r_peaks, wave_sums, gain_sums)
        !f2py threadsafe
        integer(i64), intent(in) :: n_records, n_beats, n_sets, n_waves, n_leads, length, n_chunks, n_sums, n_threads
        integer(i32), intent(in) :: has_gain
        integer(i64), intent(in) :: row_offsets(n_records + 1), chunk_beats(n_chunks + 1), chunk_records(n_chunks)
        real(f64), intent(in) :: r_peaks(n_beats)
        real(f64), intent(in) :: amplitude(n_waves, n_sets), delay(n_waves, n_sets), width(n_waves, n_sets)
        real(f64), intent(in) :: lead_gain(n_waves, n_leads), cutoff
        real(f64), intent(inout) :: wave_lanes(16, 3, n_waves, n_threads), gain_lanes(16, n_waves, n_leads, n_threads)
        real(f64), intent(in) :: grad_out(length, n_leads, n_records)
        real(f64), intent(inout) :: grad_r_peaks(n_beats)
        real(f64), intent(inout) :: wave_sums(3, n_waves, n_sums), gain_sums(n_waves, n_leads, n_chunks)

        call differentiate_f64(has_gain /= 0, row_offsets, r_peaks, amplitude, delay, width, lead_gain, cutoff, &
            chunk_beats, chunk_records, wave_lanes, gain_lanes, grad_out, grad_r_peaks, wave_sums, gain_sums)
    end subroutine gaussian_waves_grad_f64

end module waveform
