C***********************************************************************
C  F2LINE   O+ along a line of force of the eccentric dipole
C
C  Solves, on the line r = r0 cos**2 (lambda) of a dipole whose centre
C  is not that of the Earth, between its two feet,
C
C     dN/dt = q - beta N - (1/A) d(A F)/ds
C     F     = -D ( dN/ds + N dpsi/ds )
C     psi   = integral of m g(s) ds / k(Ti+Te)  +  ln (Ti+Te)
C
C  N electron (= O+) density, s arc length northwards, A area of the
C  tube, 1/B, g(s) gravity against s (g sin I), D = k(Ti+Te)/(m nu)
C  ambipolar diffusion of O+ through O, N2, O2.  Flux differences are
C  fitted exponentials, for which N = const exp(-psi) has no flux at
C  all; implicit in time with weight theta (1 backward Euler, 0.5 Crank
C  and Nicolson, which rings where D is large); Thomas's solution of
C  the tridiagonal system.
C
C  Left out: H+ and He+, neutral winds, E x B drift, the daily course
C  of the temperatures, and inertia (D has the upper limit DMAX).
C
C  Sources of the constants and formulas
C     production      S Chapman, Proc Phys Soc 43 (1931) 26 and 483
C     equation        H Rishbeth, O K Garriott, Introduction to
C                     Ionospheric Physics (Academic Press 1969)
C     nu, k1, k2      R W Schunk, A F Nagy, Ionospheres (Cambridge),
C                     nu of O+ with O, N2, O2; O+ + N2 and O+ + O2 as
C                     by J P St-Maurice and D G Torr, J Geophys Res 83
C                     (1978) 969
C     atmosphere      D R Bates, Proc R Soc A 253 (1959) 451; in
C                     geopotential height J C G Walker, J Atmos Sci 22
C                     (1965) 462
C     Ch(x,chi)       F L Smith, C Smith, J Geophys Res 77 (1972) 3592
C     Sun             Astronomical Almanac 1996, page C24
C     dipole          A C Fraser-Smith, Rev Geophys 25 (1987) 1
C
C  Cards, unit 5
C    1  title                                            (a72)
C    2  name, latitude, longitude, height km, year month day, UT h
C                                           (a16,3f10.4,i6,2i4,f8.3)
C       the line is the one through this point; geocentric, height
C       above the sphere of 6371.2 km
C    3  g10 g11 h11 g20 g21 h21 g22 h22, nT              (8f9.2)
C    4  np isun igrav ichap iprod iloss idiff ibnd nskip nband (10i5)
C       np     points on the line, 5 to 1001
C       isun   0  zenith angle of card 8 everywhere  1  by date and UT
C       igrav  0  constant                           1  inverse square
C       ichap  0  sec chi                            1  Ch(x,chi)
C       iprod  0  none                               1  EUV
C       iloss  0  none   1  beta0 of card 8          2  by N2 and O2
C       idiff  0  none                               1  along the line
C       ibnd   0  closed ends                        1  N = q/beta
C       nskip  a profile has every nskip-th point
C       nband  bands of the EUV, 1 to 10
C    5  dt s, theta, hours before the listing, hours of the listing,
C       hours between lines, hours between profiles      (6f10.3)
C    6  T exosphere K, T(120 km) K, sigma /km, Ti/Tn, Te/Tn (5f10.4)
C    7  O, N2, O2 at 120 km, /m3                         (3e12.4)
C    8  height of the feet km, chi degrees, beta0 /s, N at the start
C       /m3, DMAX m2/s, night ionisation of O /s         (6e12.4)
C    9- a card a band: photons /m2 s, absorption cross sections of O,
C       N2, O2, ionisation of O, 1e-22 m2                (e12.4,4f10.3)
C***********************************************************************
      program f2line
      implicit real*8 (a-h,o-z)
      character*72 title
      character*16 name
C     All of COMMON stands here, so that no RETURN undefines any of it
      common /head/ title, name
      common /const/ a, gm, bk, amu, pi, deg, z0
      common /ctrl/ np, isun, igrav, ichap, iprod, iloss, idiff, ibnd,
     1              nskip, nband
      common /step/ dt, theta, ut0, jday, nspin, nrun, ntab, npro
      common /stat/ slat, slon, sht, iymd(3)
      common /gauss/ g(8)
      common /axes/ r(3,3), d(3)
      common /air/ tinf, t120, sigma, rti, rte, x120(3)
      common /misc/ hfoot, chi0, beta0, dmax, qnite
      common /euv/ flux(10), sa(3,10), si(10)
      common /geom/ al(1001), s(1001), h(1001), up(3,1001), dip(1001),
     1              phi(1001), gr(1001), area(1001), vol(1001),
     2              r0, elon, elat, iapex
      common /neut/ tn(1001), x(3,1001), sh(3,1001)
      common /plas/ den(1001), q(1001), qold(1001), beta(1001),
     1              dif(1001), cchi(1001), den0
      common /band/ cl(1001), cd(1001), cu(1001)
      common /solv/ sub(1001), dia(1001), sup(1001), rhs(1001)
      common /rows/ row(11,501), nrow
      call cards
      call dipole
      call line
      call atmos
      call matrix
      call heads
      do 10 i = 1, np
         den(i) = den0
   10 continue
      call source(0.d0)
      do 30 n = 0, nspin + nrun
         if (n .gt. 0) call advanc(n*dt)
         k = n - nspin
         if (k .lt. 0) go to 30
         if (mod(k,ntab) .eq. 0) call keep(k*dt, n*dt)
         if (mod(k,npro) .eq. 0) call profil(k*dt, n*dt)
   30 continue
      call table
      stop
      end
C-----------------------------------------------------------------------
C  Constants: SI, a the radius of the sphere in m, gm of the Earth
C-----------------------------------------------------------------------
      block data consts
      implicit real*8 (a-h,o-z)
      common /const/ a, gm, bk, amu, pi, deg, z0
      data a, gm /6371.2d3, 3.986004418d14/
      data bk, amu /1.380649d-23, 1.66053907d-27/
      data pi, deg /3.14159265358979324d0, 57.2957795130823209d0/
      data z0 /120.d3/
      end
C-----------------------------------------------------------------------
C  The deck
C-----------------------------------------------------------------------
      subroutine cards
      implicit real*8 (a-h,o-z)
      character*72 title
      character*16 name
      common /head/ title, name
      common /ctrl/ np, isun, igrav, ichap, iprod, iloss, idiff, ibnd,
     1              nskip, nband
      common /step/ dt, theta, ut0, jday, nspin, nrun, ntab, npro
      common /stat/ slat, slon, sht, iymd(3)
      common /gauss/ g(8)
      common /air/ tinf, t120, sigma, rti, rte, x120(3)
      common /misc/ hfoot, chi0, beta0, dmax, qnite
      common /euv/ flux(10), sa(3,10), si(10)
      common /plas/ den(1001), q(1001), qold(1001), beta(1001),
     1              dif(1001), cchi(1001), den0
      dimension hour(4), kount(4)
      nc = 1
      read (5,501,end=90,err=91) title
      nc = 2
      read (5,502,end=90,err=91) name, slat, slon, sht, iymd, ut0
      jday = julday(iymd(1), iymd(2), iymd(3))
      nc = 3
      read (5,503,end=90,err=91) g
      nc = 4
      read (5,504,end=90,err=91) np, isun, igrav, ichap, iprod, iloss,
     1     idiff, ibnd, nskip, nband
      if (np.lt.5 .or. np.gt.1001) go to 91
      if (min0(isun,igrav,ichap,iprod,iloss,idiff,ibnd) .lt. 0) go to 91
      if (max0(isun,igrav,ichap,iprod,iloss-1,idiff,ibnd) .gt. 1)
     1     go to 91
      if (nskip.lt.1 .or. nband.lt.1 .or. nband.gt.10) go to 91
      nc = 5
      read (5,505,end=90,err=91) dt, theta, hour
      if (dt.le.0.d0 .or. theta.lt.0.5d0 .or. theta.gt.1.d0) go to 91
C     hours must be whole numbers of steps, and the table has 500 lines
      do 10 k = 1, 4
         kount(k) = nint(hour(k)*3600.d0/dt)
         if (dabs(kount(k)*dt - hour(k)*3600.d0) .gt. 0.01d0) go to 91
   10 continue
      nspin = kount(1)
      nrun = kount(2)
      ntab = kount(3)
      npro = kount(4)
      if (nspin.lt.0 .or. nrun.lt.0) go to 91
      if (ntab.lt.1 .or. npro.lt.1 .or. nrun/max0(ntab,1).ge.500)
     1     go to 91
      nc = 6
      read (5,506,end=90,err=91) tinf, t120, sigma, rti, rte
      sigma = sigma*1.d-3
      if (tinf.lt.t120 .or. t120.le.0.d0 .or. sigma.le.0.d0) go to 91
      if (rti.le.0.d0 .or. rte.le.0.d0) go to 91
      nc = 7
      read (5,507,end=90,err=91) x120
      if (x120(1).le.0.d0) go to 91
      nc = 8
      read (5,507,end=90,err=91) hfoot, chi0, beta0, den0, dmax, qnite
      hfoot = hfoot*1.d3
      if (hfoot.lt.120.d3 .or. dmax.le.0.d0) go to 91
      do 20 k = 1, nband
         nc = 8 + k
         read (5,508,end=90,err=91) flux(k), (sa(j,k), j = 1, 3), si(k)
         si(k) = si(k)*1.d-22
         do 15 j = 1, 3
            sa(j,k) = sa(j,k)*1.d-22
   15    continue
   20 continue
      nc = 4
      if (idiff.eq.1 .and. ibnd.eq.1 .and. iloss.eq.0) go to 91
      return
   90 write (6,601) nc
      stop 1
   91 write (6,602) nc
      stop 2
  501 format (a72)
  502 format (a16, 3f10.4, i6, 2i4, f8.3)
  503 format (8f9.2)
  504 format (10i5)
  505 format (6f10.3)
  506 format (5f10.4)
  507 format (6e12.4)
  508 format (e12.4, 4f10.3)
  601 format (' *** The deck ends before card', i3)
  602 format (' *** Bad card', i3)
      end
C-----------------------------------------------------------------------
C  Axes r of the dipole (rows, in geographic axes) and offset d, m
C-----------------------------------------------------------------------
      subroutine dipole
      implicit real*8 (a-h,o-z)
      common /const/ a, gm, bk, amu, pi, deg, z0
      common /gauss/ g10, g11, h11, g20, g21, h21, g22, h22
      common /axes/ r(3,3), d(3)
      b2 = g10*g10 + g11*g11 + h11*h11
      s = dsqrt(g11*g11 + h11*h11)
      if (s .le. 0.d0) go to 90
      ct = -g10/dsqrt(b2)
      st = s/dsqrt(b2)
      cl = -g11/s
      sl = -h11/s
      r(1,1) = ct*cl
      r(1,2) = ct*sl
      r(1,3) = -st
      r(2,1) = -sl
      r(2,2) = cl
      r(2,3) = 0.d0
      r(3,1) = st*cl
      r(3,2) = st*sl
      r(3,3) = ct
      w = dsqrt(3.d0)
      e0 = 2.d0*g10*g20 + w*(g11*g21 + h11*h21)
      e1 = -g11*g20 + w*(g10*g21 + g11*g22 + h11*h22)
      e2 = -h11*g20 + w*(g10*h21 - h11*g22 + g11*h22)
      e = (e0*g10 + e1*g11 + e2*h11)/(4.d0*b2)
      d(1) = a*(e1 - g11*e)/(3.d0*b2)
      d(2) = a*(e2 - h11*e)/(3.d0*b2)
      d(3) = a*(e0 - g10*e)/(3.d0*b2)
      return
   90 write (6,601)
      stop 3
  601 format (' *** The dipole must be inclined to the axis')
      end
C-----------------------------------------------------------------------
C  The line through the station: points, areas, volumes, geopotential
C-----------------------------------------------------------------------
      subroutine line
      implicit real*8 (a-h,o-z)
      common /const/ a, gm, bk, amu, pi, deg, z0
      common /ctrl/ np, isun, igrav, ichap, iprod, iloss, idiff, ibnd,
     1              nskip, nband
      common /stat/ slat, slon, sht, iymd(3)
      common /misc/ hfoot, chi0, beta0, dmax, qnite
      common /axes/ r(3,3), d(3)
      common /geom/ al(1001), s(1001), h(1001), up(3,1001), dip(1001),
     1              phi(1001), gr(1001), area(1001), vol(1001),
     2              r0, elon, elat, iapex
      dimension v(3), w(3), ends(2)
      rs = a + sht*1.d3
      v(1) = rs*dcos(slat/deg)*dcos(slon/deg)
      v(2) = rs*dcos(slat/deg)*dsin(slon/deg)
      v(3) = rs*dsin(slat/deg)
      do 10 j = 1, 3
         w(j) = v(j) - d(j)
   10 continue
      x = r(1,1)*w(1) + r(1,2)*w(2) + r(1,3)*w(3)
      y = r(2,1)*w(1) + r(2,2)*w(2) + r(2,3)*w(3)
      z = r(3,1)*w(1) + r(3,2)*w(2) + r(3,3)*w(3)
      elon = datan2(y, x)
      elat = datan2(z, dsqrt(x*x + y*y))
      r0 = dsqrt(x*x + y*y + z*z)/dcos(elat)**2
      if (dabs(elat) .gt. 75.d0/deg) go to 90
      if (height(0.d0) .lt. hfoot + 20.d3) go to 90
C     the feet, by halving
      do 30 k = 1, 2
         sg = 2*k - 3
         x = 0.d0
         y = 89.d0/deg
         do 20 it = 1, 60
            z = 0.5d0*(x + y)
            if (height(sg*z) .gt. hfoot) x = z
            if (height(sg*z) .le. hfoot) y = z
   20    continue
         ends(k) = sg*x
   30 continue
C     points crowd at the feet, as the cosine; cells end half-way
      an = tarea(ends(2))
      iapex = 1
      do 50 i = 1, np
         u = i - 1
         al(i) = place(u, ends)
         s(i) = arc(al(i)) - arc(ends(1))
         area(i) = tarea(place(u + 0.5d0, ends))/an
         below = dmax1(u - 0.5d0, 0.d0)
         above = dmin1(u + 0.5d0, np - 1.d0)
         vol(i) = r0*(volume(place(above, ends))
     1          - volume(place(below, ends)))/an
         call point(al(i), v)
         rr = dsqrt(v(1)**2 + v(2)**2 + v(3)**2)
         h(i) = rr - a
         if (h(i) .gt. h(iapex)) iapex = i
C        geopotential above z0, gravity
         gz = gm/(a + z0)**2
         phi(i) = gz*(h(i) - z0)
         gr(i) = gz
         if (igrav .eq. 1) phi(i) = gm*(h(i) - z0)/((a + z0)*rr)
         if (igrav .eq. 1) gr(i) = gm/rr**2
C        dip, from the field m - 3 (m.w) w
         do 42 j = 1, 3
            up(j,i) = v(j)/rr
            w(j) = v(j) - d(j)
   42    continue
         ww = dsqrt(w(1)**2 + w(2)**2 + w(3)**2)
         am = 3.d0*(r(3,1)*w(1) + r(3,2)*w(2) + r(3,3)*w(3))/ww**2
         bb = 0.d0
         bu = 0.d0
         do 44 j = 1, 3
            b = r(3,j) - am*w(j)
            bb = bb + b*b
            bu = bu + b*up(j,i)
   44    continue
         dip(i) = dasin(-bu/dsqrt(bb))*deg
   50 continue
      return
   90 write (6,601)
      stop 4
  601 format (' *** No line of force with feet at this height and',
     1        ' latitudes below 75 degrees')
      end
C
C  Dipole latitude of point u (from 0, halves between the points)
C
      real*8 function place(u, ends)
      implicit real*8 (a-h,o-z)
      common /const/ a, gm, bk, amu, pi, deg, z0
      common /ctrl/ np, isun, igrav, ichap, iprod, iloss, idiff, ibnd,
     1              nskip, nband
      dimension ends(2)
      place = 0.5d0*(ends(1) + ends(2))
     1      - 0.5d0*(ends(2) - ends(1))*dcos(pi*u/(np - 1))
      return
      end
C
C  Geographic rectangular coordinates, m, at dipole latitude alat
C
      subroutine point(alat, v)
      implicit real*8 (a-h,o-z)
      common /axes/ r(3,3), d(3)
      common /geom/ al(1001), s(1001), h(1001), up(3,1001), dip(1001),
     1              phi(1001), gr(1001), area(1001), vol(1001),
     2              r0, elon, elat, iapex
      dimension v(3)
      rr = r0*dcos(alat)**2
      x = rr*dcos(alat)*dcos(elon)
      y = rr*dcos(alat)*dsin(elon)
      z = rr*dsin(alat)
      do 10 j = 1, 3
         v(j) = d(j) + r(1,j)*x + r(2,j)*y + r(3,j)*z
   10 continue
      return
      end
C
      real*8 function height(alat)
      implicit real*8 (a-h,o-z)
      common /const/ a, gm, bk, amu, pi, deg, z0
      dimension v(3)
      call point(alat, v)
      height = dsqrt(v(1)**2 + v(2)**2 + v(3)**2) - a
      return
      end
C
C  Arc length from the dipole equator, m
C
      real*8 function arc(alat)
      implicit real*8 (a-h,o-z)
      common /geom/ al(1001), s(1001), h(1001), up(3,1001), dip(1001),
     1              phi(1001), gr(1001), area(1001), vol(1001),
     2              r0, elon, elat, iapex
      x = dsqrt(3.d0)*dsin(dabs(alat))
      w = dsqrt(1.d0 + x*x)
      arc = r0*(dlog(x + w) + x*w)/(2.d0*dsqrt(3.d0))
      if (alat .lt. 0.d0) arc = -arc
      return
      end
C
C  Area of the tube, up to a factor, and integral of area ds / r0
C
      real*8 function tarea(alat)
      implicit real*8 (a-h,o-z)
      tarea = dcos(alat)**6/dsqrt(1.d0 + 3.d0*dsin(alat)**2)
      return
      end
C
      real*8 function volume(alat)
      implicit real*8 (a-h,o-z)
      x = dsin(alat)
      volume = x - x**3 + 0.6d0*x**5 - x**7/7.d0
      return
      end
C-----------------------------------------------------------------------
C  Neutral gas, loss and diffusion at the points
C-----------------------------------------------------------------------
      subroutine atmos
      implicit real*8 (a-h,o-z)
      common /const/ a, gm, bk, amu, pi, deg, z0
      common /ctrl/ np, isun, igrav, ichap, iprod, iloss, idiff, ibnd,
     1              nskip, nband
      common /air/ tinf, t120, sigma, rti, rte, x120(3)
      common /misc/ hfoot, chi0, beta0, dmax, qnite
      common /geom/ al(1001), s(1001), h(1001), up(3,1001), dip(1001),
     1              phi(1001), gr(1001), area(1001), vol(1001),
     2              r0, elon, elat, iapex
      common /neut/ tn(1001), x(3,1001), sh(3,1001)
      common /plas/ den(1001), q(1001), qold(1001), beta(1001),
     1              dif(1001), cchi(1001), den0
      dimension wt(3)
      save wt
      data wt /16.d0, 28.d0, 32.d0/
      gz = gm/(a + z0)**2
      do 40 i = 1, np
         zeta = phi(i)/gz
         tn(i) = tinf - (tinf - t120)*dexp(-dmin1(sigma*zeta, 600.d0))
         do 10 k = 1, 3
            gam = wt(k)*amu*gz/(sigma*bk*tinf)
            x(k,i) = x120(k)*(t120/tn(i))**(1.d0 + gam)
     1             *dexp(-dmin1(sigma*gam*zeta, 600.d0))
            sh(k,i) = bk*tn(i)/(wt(k)*amu*gr(i))
   10    continue
         ti = rti*tn(i)
         tr = 0.5d0*(ti + tn(i))
C        collisions of O+, /s; coefficients of Schunk and Nagy in m3/s
         anu = 3.67d-17*x(1,i)*dsqrt(tr)*(1.d0 - 0.064d0*dlog10(tr))**2
     1       + 6.82d-16*x(2,i) + 6.64d-16*x(3,i)
         dif(i) = dmax
         dd = bk*(rti + rte)*tn(i)/(wt(1)*amu)
         if (dd .lt. dmax*anu) dif(i) = dd/anu
         beta(i) = 0.d0
         if (iloss .eq. 1) beta(i) = beta0
         if (iloss .lt. 2) go to 40
         t = ti/300.d0
         if (ti .gt. 1700.d0) go to 20
         ak1 = 1.533d-18 - 5.92d-19*t + 8.6d-20*t**2
         go to 30
   20    ak1 = 2.73d-18 - 1.155d-18*t + 1.483d-19*t**2
   30    ak2 = 2.82d-17 - 7.74d-18*t + 1.073d-18*t**2 - 5.17d-20*t**3
     1       + 9.65d-22*t**4
         beta(i) = ak1*x(2,i) + ak2*x(3,i)
   40 continue
      return
      end
C-----------------------------------------------------------------------
C  Diffusion as a matrix: dN(i)/dt = cl N(i-1) + cd N(i) + cu N(i+1)
C-----------------------------------------------------------------------
      subroutine matrix
      implicit real*8 (a-h,o-z)
      common /const/ a, gm, bk, amu, pi, deg, z0
      common /ctrl/ np, isun, igrav, ichap, iprod, iloss, idiff, ibnd,
     1              nskip, nband
      common /air/ tinf, t120, sigma, rti, rte, x120(3)
      common /geom/ al(1001), s(1001), h(1001), up(3,1001), dip(1001),
     1              phi(1001), gr(1001), area(1001), vol(1001),
     2              r0, elon, elat, iapex
      common /neut/ tn(1001), x(3,1001), sh(3,1001)
      common /plas/ den(1001), q(1001), qold(1001), beta(1001),
     1              dif(1001), cchi(1001), den0
      common /band/ cl(1001), cd(1001), cu(1001)
      do 10 i = 1, np
         cl(i) = 0.d0
         cd(i) = 0.d0
         cu(i) = 0.d0
   10 continue
      if (idiff .eq. 0) return
      do 20 i = 1, np - 1
         tp = 0.5d0*(rti + rte)*(tn(i) + tn(i+1))
         w = 16.d0*amu*(phi(i+1) - phi(i))/(bk*tp)
     1     + dlog(tn(i+1)/tn(i))
         g = area(i)*dsqrt(dif(i)*dif(i+1))/(s(i+1) - s(i))
         cu(i) = g*bern(-w)/vol(i)
         cd(i) = cd(i) - g*bern(w)/vol(i)
         cl(i+1) = g*bern(w)/vol(i+1)
         cd(i+1) = cd(i+1) - g*bern(-w)/vol(i+1)
   20 continue
      return
      end
C
C  w/(exp(w) - 1)
C
      real*8 function bern(w)
      implicit real*8 (a-h,o-z)
      if (dabs(w) .lt. 1.d-3) go to 10
      bern = w/(dexp(w) - 1.d0)
      return
   10 bern = 1.d0 - 0.5d0*w + w*w/12.d0
      return
      end
C-----------------------------------------------------------------------
C  Production t seconds after the start
C-----------------------------------------------------------------------
      subroutine source(t)
      implicit real*8 (a-h,o-z)
      common /const/ a, gm, bk, amu, pi, deg, z0
      common /ctrl/ np, isun, igrav, ichap, iprod, iloss, idiff, ibnd,
     1              nskip, nband
      common /misc/ hfoot, chi0, beta0, dmax, qnite
      common /euv/ flux(10), sa(3,10), si(10)
      common /geom/ al(1001), s(1001), h(1001), up(3,1001), dip(1001),
     1              phi(1001), gr(1001), area(1001), vol(1001),
     2              r0, elon, elat, iapex
      common /neut/ tn(1001), x(3,1001), sh(3,1001)
      common /plas/ den(1001), q(1001), qold(1001), beta(1001),
     1              dif(1001), cchi(1001), den0
      dimension sun(3), col(3)
      call sunpos(t, sun)
      do 60 i = 1, np
         cchi(i) = dcos(chi0/deg)
         if (isun .eq. 1) cchi(i) = sun(1)*up(1,i) + sun(2)*up(2,i)
     1                            + sun(3)*up(3,i)
         q(i) = 0.d0
         if (iprod .eq. 0) go to 60
C        night: scattered light of the first band from overhead
         tau = 0.d0
         do 10 k = 1, 3
            tau = tau + sa(k,1)*x(k,i)*sh(k,i)
   10    continue
         if (tau .lt. 80.d0) q(i) = qnite*dexp(-tau)
C        columns towards the Sun, none if the Earth stands before it
         c = cchi(i)
         if (ichap.eq.0 .and. c.le.1.d-3) go to 50
         rr = a + h(i)
         if (c.lt.0.d0 .and. rr*dsqrt(1.d0 - c*c).lt.a + 50.d3) go to 50
         do 20 k = 1, 3
            ch = 1.d0
            if (ichap .eq. 0) ch = ch/c
            if (ichap .eq. 1) ch = chap(rr/sh(k,i), c)
            col(k) = x(k,i)*sh(k,i)*ch
   20    continue
         do 40 k = 1, nband
            tau = sa(1,k)*col(1) + sa(2,k)*col(2) + sa(3,k)*col(3)
            if (tau .lt. 80.d0) q(i) = q(i) + flux(k)*si(k)*dexp(-tau)
   40    continue
   50    q(i) = q(i)*x(1,i)
   60 continue
      return
      end
C
C  Chapman's function, in the form of Smith and Smith; good to 1/x at
C  the zenith, which is 0.3 per cent where the EUV is absorbed
C
      real*8 function chap(x, c)
      implicit real*8 (a-h,o-z)
      common /const/ a, gm, bk, amu, pi, deg, z0
      y = dsqrt(0.5d0*x)*dabs(c)
      e = 0.56498823d0/(0.06651874d0 + y)
      if (y .le. 8.d0) e = (1.0606963d0 + 0.55643831d0*y)
     1                   /(1.0619896d0 + 1.7245609d0*y + y*y)
      chap = dsqrt(0.5d0*pi*x)*e
      if (c .ge. 0.d0) return
      sc = dsqrt(1.d0 - c*c)
      chap = dsqrt(2.d0*pi*x*sc)*dexp(x*(1.d0 - sc)) - chap
      return
      end
C
C  Direction of the Sun in geographic axes
C
      subroutine sunpos(t, sun)
      implicit real*8 (a-h,o-z)
      common /const/ a, gm, bk, amu, pi, deg, z0
      common /step/ dt, theta, ut0, jday, nspin, nrun, ntab, npro
      dimension sun(3)
      part = ut0/24.d0 + t/86400.d0
      an = jday - 2451545 + (part - 0.5d0)
      el = dmod(280.451d0 + 0.9856474d0*an, 360.d0)
      g = dmod(357.528d0 + 0.9856003d0*an, 360.d0)/deg
      elam = (el + 1.915d0*dsin(g) + 0.020d0*dsin(2.d0*g))/deg
      eps = (23.439d0 - 4.d-7*an)/deg
C     the Earth has turned by the mean longitude, 180 and 360 part
      turn = (el + 180.d0 + 360.d0*dmod(part, 1.d0))/deg
      x = dcos(elam)
      y = dcos(eps)*dsin(elam)
      sun(1) = x*dcos(turn) + y*dsin(turn)
      sun(2) = y*dcos(turn) - x*dsin(turn)
      sun(3) = dsin(eps)*dsin(elam)
      return
      end
C
C  Julian day of a date (Fliegel and van Flandern 1968)
C
      integer function julday(iy, im, id)
      j = (im - 14)/12
      julday = id - 32075 + 1461*(iy + 4800 + j)/4
     1       + 367*(im - 2 - j*12)/12 - 3*((iy + 4900 + j)/100)/4
      return
      end
C-----------------------------------------------------------------------
C  One step, to t seconds after the start
C-----------------------------------------------------------------------
      subroutine advanc(t)
      implicit real*8 (a-h,o-z)
      common /ctrl/ np, isun, igrav, ichap, iprod, iloss, idiff, ibnd,
     1              nskip, nband
      common /step/ dt, theta, ut0, jday, nspin, nrun, ntab, npro
      common /plas/ den(1001), q(1001), qold(1001), beta(1001),
     1              dif(1001), cchi(1001), den0
      common /band/ cl(1001), cd(1001), cu(1001)
      common /solv/ sub(1001), dia(1001), sup(1001), rhs(1001)
      do 10 i = 1, np
         qold(i) = q(i)
   10 continue
      call source(t)
      th = theta*dt
      ex = (1.d0 - theta)*dt
      do 20 i = 1, np
         old = (cd(i) - beta(i))*den(i)
         if (i .gt. 1) old = old + cl(i)*den(i-1)
         if (i .lt. np) old = old + cu(i)*den(i+1)
         rhs(i) = den(i) + ex*(old + qold(i)) + th*q(i)
         sub(i) = -th*cl(i)
         dia(i) = 1.d0 - th*(cd(i) - beta(i))
         sup(i) = -th*cu(i)
   20 continue
      if (idiff.eq.0 .or. ibnd.eq.0) go to 40
      do 30 i = 1, np, np - 1
         sub(i) = 0.d0
         dia(i) = 1.d0
         sup(i) = 0.d0
         rhs(i) = q(i)/beta(i)
   30 continue
   40 call thomas(np)
      return
      end
C
C  Elimination downwards, substitution upwards
C
      subroutine thomas(n)
      implicit real*8 (a-h,o-z)
      common /plas/ den(1001), q(1001), qold(1001), beta(1001),
     1              dif(1001), cchi(1001), den0
      common /solv/ sub(1001), dia(1001), sup(1001), rhs(1001)
      do 10 i = 2, n
         f = sub(i)/dia(i-1)
         dia(i) = dia(i) - f*sup(i-1)
         rhs(i) = rhs(i) - f*rhs(i-1)
   10 continue
      den(n) = rhs(n)/dia(n)
      do 20 k = 2, n
         i = n + 1 - k
         den(i) = (rhs(i) - sup(i)*den(i+1))/dia(i)
   20 continue
      return
      end
C-----------------------------------------------------------------------
C  Listing
C-----------------------------------------------------------------------
      subroutine heads
      implicit real*8 (a-h,o-z)
      character*72 title
      character*16 name
      common /head/ title, name
      common /const/ a, gm, bk, amu, pi, deg, z0
      common /ctrl/ np, isun, igrav, ichap, iprod, iloss, idiff, ibnd,
     1              nskip, nband
      common /step/ dt, theta, ut0, jday, nspin, nrun, ntab, npro
      common /stat/ slat, slon, sht, iymd(3)
      common /air/ tinf, t120, sigma, rti, rte, x120(3)
      common /misc/ hfoot, chi0, beta0, dmax, qnite
      common /euv/ flux(10), sa(3,10), si(10)
      common /geom/ al(1001), s(1001), h(1001), up(3,1001), dip(1001),
     1              phi(1001), gr(1001), area(1001), vol(1001),
     2              r0, elon, elat, iapex
      write (6,601) title, name, slat, slon, sht, iymd, ut0
      write (6,602) elat*deg, elon*deg, r0/a, h(iapex)*1.d-3,
     1              s(np)*1.d-3
      write (6,603) np, isun, igrav, ichap, iprod, iloss, idiff, ibnd,
     1              dt, theta, nspin
      write (6,604) tinf, t120, sigma*1.d3, rti, rte, x120
      write (6,605) hfoot*1.d-3, chi0, beta0, dmax, qnite
      write (6,606) (k, flux(k), (sa(j,k)*1.d22, j = 1, 3),
     1              si(k)*1.d22, k = 1, nband)
      return
  601 format (' F2LINE   O+ along a line of force of the eccentric ',
     1        'dipole', /, 1x, a72, //,
     2        ' Through ', a16, '  latitude', f9.3, '  longitude', f9.3,
     3        '  height', f8.2, ' km', /,
     4        ' From    ', i4, 2i3, f8.3, ' h UT')
  602 format (' ED latitude    ', f9.3, '  longitude', f9.3, '  L',
     1        f9.5, '  apex', f9.2, ' km  length', f10.2, ' km')
  603 format (/, ' Points', i5, '   isun', i2, '  igrav', i2, '  ichap',
     1        i2, '  iprod', i2, '  iloss', i2, '  idiff', i2, '  ibnd',
     2        i2, /, ' Step', f12.3, ' s  theta', f5.2, '  steps ',
     3        'before the listing', i6)
  604 format (' T(exo)', f8.1, ' K  T(120)', f7.1, ' K  sigma', f8.4,
     1        ' /km  Ti/Tn', f6.3, '  Te/Tn', f6.3, /,
     2        ' At 120 km, /m3   O', 1pe12.4, '  N2', e12.4, '  O2',
     3        e12.4)
  605 format (' Feet', f8.2, ' km  chi', f7.2, '  beta0', 1pe11.3,
     1        ' /s  Dmax', e11.3, ' m2/s  night', e11.3, ' /s')
  606 format (/, ' Band  photons     absorption, 1e-22 m2    ',
     1        'ionisation', /, '        /m2 s        O      N2      O2',
     2        '       O', 10(/, i4, 1pe13.4, 0p, 4f8.3))
      end
C
C  Profile, tl s after the beginning of the listing, t s after the start
C
      subroutine profil(tl, t)
      implicit real*8 (a-h,o-z)
      common /const/ a, gm, bk, amu, pi, deg, z0
      common /ctrl/ np, isun, igrav, ichap, iprod, iloss, idiff, ibnd,
     1              nskip, nband
      common /geom/ al(1001), s(1001), h(1001), up(3,1001), dip(1001),
     1              phi(1001), gr(1001), area(1001), vol(1001),
     2              r0, elon, elat, iapex
      common /plas/ den(1001), q(1001), qold(1001), beta(1001),
     1              dif(1001), cchi(1001), den0
      call clock(t, ut, tloc, chis)
      write (6,601) tl/3600.d0, ut, tloc
      do 10 i = 1, np, nskip
         chi = dacos(dmax1(-1.d0, dmin1(1.d0, cchi(i))))*deg
         glat = datan2(up(3,i), dsqrt(up(1,i)**2 + up(2,i)**2))*deg
         glon = datan2(up(2,i), up(1,i))*deg
         write (6,602) i, h(i)*1.d-3, glat, glon, al(i)*deg, dip(i),
     1                 chi, den(i), q(i), beta(i), dif(i)
   10 continue
      return
  601 format (/, ' Profile at', f12.3, ' h    UT', f7.3, ' h    local ',
     1        'solar time of the station', f7.3, ' h', //,
     2        '  pnt    height      lat      long    ED lat     dip',
     3        '     chi            N           q        beta',
     4        '           D', /,
     5        '             km      deg       deg       deg     deg',
     6        '     deg          /m3       /m3 s          /s',
     7        '        m2/s', /)
  602 format (i5, f10.3, f9.3, f10.3, f10.3, 2f8.2, 1pe13.5, 3e12.4)
      end
C
C  UT, apparent solar time and zenith angle of the station
C
      subroutine clock(t, ut, tloc, chis)
      implicit real*8 (a-h,o-z)
      common /const/ a, gm, bk, amu, pi, deg, z0
      common /step/ dt, theta, ut0, jday, nspin, nrun, ntab, npro
      common /stat/ slat, slon, sht, iymd(3)
      dimension sun(3)
      call sunpos(t, sun)
      ut = dmod(ut0 + t/3600.d0, 24.d0)
      tloc = dmod(36.d0 + (slon - datan2(sun(2),sun(1))*deg)/15.d0,
     1            24.d0)
      c = dcos(slat/deg)*(dcos(slon/deg)*sun(1) + dsin(slon/deg)*sun(2))
     1  + dsin(slat/deg)*sun(3)
      chis = dacos(dmax1(-1.d0, dmin1(1.d0, c)))*deg
      return
      end
C
C  A line of the table, kept for the end of the listing
C
      subroutine keep(tl, t)
      implicit real*8 (a-h,o-z)
      common /ctrl/ np, isun, igrav, ichap, iprod, iloss, idiff, ibnd,
     1              nskip, nband
      common /geom/ al(1001), s(1001), h(1001), up(3,1001), dip(1001),
     1              phi(1001), gr(1001), area(1001), vol(1001),
     2              r0, elon, elat, iapex
      common /plas/ den(1001), q(1001), qold(1001), beta(1001),
     1              dif(1001), cchi(1001), den0
      common /rows/ row(11,501), nrow
      save nrow0
      data nrow0 /0/
      nrow0 = nrow0 + 1
      nrow = nrow0
      row(1,nrow) = tl/3600.d0
      call clock(t, row(2,nrow), row(3,nrow), row(4,nrow))
      call peak(1, iapex, row(5,nrow), row(6,nrow))
      call peak(iapex, np, row(8,nrow), row(9,nrow))
C     plasma frequency in MHz, 8.98 sqrt(N) Hz
      row(7,nrow) = 8.98d-6*dsqrt(row(5,nrow))
      row(10,nrow) = 8.98d-6*dsqrt(row(8,nrow))
      sum = 0.d0
      do 10 i = 1, np
         sum = sum + den(i)*vol(i)
   10 continue
      row(11,nrow) = sum
      return
      end
C
C  Greatest density and its height between two points: a parabola for
C  the logarithm, but at the apex and the feet
C
      subroutine peak(i1, i2, anm, hm)
      implicit real*8 (a-h,o-z)
      common /geom/ al(1001), s(1001), h(1001), up(3,1001), dip(1001),
     1              phi(1001), gr(1001), area(1001), vol(1001),
     2              r0, elon, elat, iapex
      common /plas/ den(1001), q(1001), qold(1001), beta(1001),
     1              dif(1001), cchi(1001), den0
      m = i1
      do 10 i = i1, i2
         if (den(i) .gt. den(m)) m = i
   10 continue
      anm = den(m)
      hm = h(m)*1.d-3
      if (m.eq.i1 .or. m.eq.i2) return
      if (dmin1(den(m-1), den(m+1)) .le. 0.d0) return
      x1 = h(m-1) - h(m)
      x2 = h(m+1) - h(m)
      y1 = dlog(den(m-1)/den(m))/x1
      y2 = dlog(den(m+1)/den(m))/x2
      c = (y2 - y1)/(x2 - x1)
      if (c .ge. 0.d0) return
      b = y1 - c*x1
      anm = den(m)*dexp(-b*b/(4.d0*c))
      hm = (h(m) - 0.5d0*b/c)*1.d-3
      return
      end
C
      subroutine table
      implicit real*8 (a-h,o-z)
      common /rows/ row(11,501), nrow
      write (6,601)
      do 10 i = 1, nrow
         write (6,602) (row(k,i), k = 1, 11)
   10 continue
      write (6,603)
      return
  601 format (/, ' Peak of the layer, and content of the tube of 1 m2 ',
     1        'at the northern foot', //,
     2        '                         station       southern half',
     3        '               northern half', /,
     4        '        hours     UT  local   chi      NmF2    hmF2',
     5        '   foF2      NmF2    hmF2   foF2         content', /,
     6        '                   h      h   deg       /m3      km',
     7        '    MHz       /m3      km    MHz             /m2', /)
  602 format (f13.3, 2f7.2, f6.1, 2(1pe11.3, 0pf8.1, f7.2), 1pe16.7)
  603 format (/, ' End of run')
      end
