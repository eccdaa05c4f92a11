!> The waveform kernel twice, as a loop of the host and as a loop of the device, over one function of a sample.
!>
!>     y(t) = sum over beats b and waves w of  A_w exp(-x**2/2),   x = (t - r_b - d_w)/s_w,   |x| <= 6,
!>
!> with R peaks r_b, amplitudes A_w in mV, delays d_w and widths s_w, all times in samples: ecgkern.waveform in Python.
!> Distances are taken in float64, so that late peaks are placed as exactly as early ones, and waves in float32.
module offload_waveform
    use kinds, only: f32, f64
    implicit none
    private
    public :: waveforms_on_host, waveforms_on_device

    real(f64), parameter, public :: sampling_rate = 100  ! Hz
    integer, parameter, public :: n_waves = 6
    ! P, Q, R, S, T, U of a healthy adult: ecgkern.waveform.PHYSIO.
    real(f32), parameter, public :: amplitude_of_waves(n_waves) = &
        [0.15_f32, -0.20_f32, 1.0_f32, -0.30_f32, 0.30_f32, 0.03_f32]  ! mV
    real(f64), parameter, public :: delay_of_waves(n_waves) = sampling_rate* &
        [-0.160_f64, -0.020_f64, 0.0_f64, 0.020_f64, 0.280_f64, 0.460_f64]  ! samples
    real(f64), parameter, public :: width_of_waves(n_waves) = sampling_rate* &
        [0.025_f64, 0.010_f64, 0.010_f64, 0.010_f64, 0.040_f64, 0.025_f64]  ! samples
    real(f64), parameter :: cutoff = 6  ! widths

contains

    !> y(t, record) in mV, with at most 2**31 - 1 samples in all, a thread of the host for each part of them.
    subroutine waveforms_on_host(n_beats, n_records, length, r_peaks, amplitude, delay, width, y)
        integer, intent(in) :: n_beats, n_records, length
        real(f64), intent(in) :: r_peaks(n_beats, n_records), delay(n_waves), width(n_waves)
        real(f32), intent(in) :: amplitude(n_waves)
        real(f32), intent(inout) :: y(0:length - 1, n_records)
        real(f64) :: reach
        integer :: i, t, record

        reach = reach_of(delay, width)
        !$omp parallel do private(t, record)
        do i = 0, n_records*length - 1
            t = mod(i, length)
            record = i/length + 1
            y(t, record) = sample(t, n_beats, r_peaks(:, record), reach, amplitude, delay, width)
        end do
        !$omp end parallel do
    end subroutine waveforms_on_host

    !> The same on the default device, a thread of the device for a sample. The arrays are copied there and back, unless
    !> the caller has them there already (`target data`).
    !>
    !> One loop over all samples, because gfortran 12 gives the iterations of collapsed loops to one lane in 32. And i
    !> is private, because it would copy the last value of i to the host.
    subroutine waveforms_on_device(n_beats, n_records, length, r_peaks, amplitude, delay, width, y)
        integer, intent(in) :: n_beats, n_records, length
        real(f64), intent(in) :: r_peaks(n_beats, n_records), delay(n_waves), width(n_waves)
        real(f32), intent(in) :: amplitude(n_waves)
        real(f32), intent(inout) :: y(0:length - 1, n_records)
        real(f64) :: reach
        integer :: i, t, record

        reach = reach_of(delay, width)
        !$omp target teams loop private(i, t, record) map(to: r_peaks, amplitude, delay, width) map(from: y)
        do i = 0, n_records*length - 1
            t = mod(i, length)
            record = i/length + 1
            y(t, record) = sample(t, n_beats, r_peaks(:, record), reach, amplitude, delay, width)
        end do
        !$omp end target teams loop
    end subroutine waveforms_on_device

    !> How far from an R peak, in samples, any of its waves extends; 1 more for rounding.
    pure real(f64) function reach_of(delay, width) result(reach)
        real(f64), intent(in) :: delay(n_waves), width(n_waves)

        reach = maxval(abs(delay) + cutoff*width) + 1
    end function reach_of

    pure real(f32) function sample(t, n_beats, r_peaks, reach, amplitude, delay, width) result(y)
        !$omp declare target
        integer, intent(in) :: t, n_beats
        real(f64), intent(in) :: r_peaks(n_beats), reach, delay(n_waves), width(n_waves)
        real(f32), intent(in) :: amplitude(n_waves)
        real(f64) :: distance
        real(f32) :: x
        integer :: b, w

        y = 0
        do b = 1, n_beats
            if (abs(t - r_peaks(b)) > reach) cycle
            do w = 1, n_waves
                distance = t - (r_peaks(b) + delay(w))
                if (abs(distance) <= cutoff*width(w)) then
                    x = real(distance, f32)/real(width(w), f32)
                    y = y + amplitude(w)*exp(-0.5_f32*x*x)
                end if
            end do
        end do
    end function sample

end module offload_waveform
