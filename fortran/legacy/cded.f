C     CDED - CENTRED AND ECCENTRIC DIPOLE COORDINATES, TIME AND FIELD   CDED0010
C                                                                       CDED0020
C     FOR EACH STATION CARD: LATITUDE, LONGITUDE AND DISTANCE IN THE    CDED0030
C     CENTRED (CD) AND THE ECCENTRIC DIPOLE (ED), APPARENT SOLAR TIME   CDED0040
C     AND THE GEOMAGNETIC LOCAL TIMES, AND THE DIPOLE FIELDS X Y Z H F  CDED0050
C     D I.  FOR THE DECK: MOMENT, AXES, OFFSET AND POLES OF THE DIPOLES CDED0060
C     FROM THE EIGHT GAUSS COEFFICIENTS OF DEGREES ONE AND TWO.         CDED0070
C                                                                       CDED0080
C     IN THE MANNER OF K V V RAMANA, K S R N MURTHY, I KHAN, INDIAN J   CDED0090
C     RADIO SPACE PHYS 27 (1998) 35.  THE OFFSET IS THAT OF A SCHMIDT   CDED0100
C     (1934), J BARTELS (1936), A C FRASER-SMITH (REV GEOPHYS 25 (1987) CDED0110
C     1).  THE SUN IS THAT OF THE ASTRONOMICAL ALMANAC 1996, PAGE C24.  CDED0120
C     THE ED TIME WITH THE SUN AT INFINITY IS THAT OF K D COLE AND      CDED0130
C     G V SIMONOW (NATURE 199 (1963) 1279).                             CDED0140
C                                                                       CDED0150
C     CARDS, UNIT 5                                                     CDED0160
C       1      TITLE                                      (A72)         CDED0170
C       2      EPOCH, ICOORD, LINPP                       (F10.3,2I5)   CDED0180
C              ICOORD  0  GEOCENTRIC LATITUDES, HEIGHTS ABOVE THE SPHERECDED0190
C                      1  GEODETIC, ABOVE THE WGS84 ELLIPSOID           CDED0200
C              LINPP      LINES PER PAGE, 20 TO 99                      CDED0210
C       3-7    N, M, G, H  FOR 10 11 20 21 22, NT         (2I5,2F10.2)  CDED0220
C       8-     NAME, LATITUDE, LONGITUDE, HEIGHT KM,                    CDED0230
C              YEAR MONTH DAY, UT HOUR MINUTE SECOND                    CDED0240
C              (A16,F9.4,F10.4,F8.2,I6,2I3,2X,2I3,F6.2)                 CDED0250
C     LISTING, UNIT 6, COLUMN 1 IS CARRIAGE CONTROL                     CDED0260
C                                                                       CDED0270
      PROGRAM CDED                                                      CDED0280
      IMPLICIT DOUBLE PRECISION (A-H,O-Z)                               CDED0290
      CHARACTER*72 TITLE                                                CDED0300
      CHARACTER*16 NAME                                                 CDED0310
C     ALL OF COMMON STANDS HERE, SO THAT NO RETURN UNDEFINES ANY OF IT  CDED0320
      COMMON /HEAD/ TITLE                                               CDED0330
      COMMON /EARTH/ A, AE, FLAT, DEG                                   CDED0340
      COMMON /PRINT/ NPAGE, NLINE, LINPP, ITAB                          CDED0350
      COMMON /GAUSS/ G(5), H(5), EPOCH, ICOORD                          CDED0360
      COMMON /DIPOL/ B0, R(3,3), DEL(3), D(3)                           CDED0370
      COMMON /STNAM/ NAME(200)                                          CDED0380
      COMMON /STATN/ SLAT(200), SLON(200), SHT(200), SSEC(200),         CDED0390
     1               IYMD(3,200), IHM(2,200), NST                       CDED0400
      CALL CARDS                                                        CDED0410
      CALL DIPOLE                                                       CDED0420
      CALL REPORT                                                       CDED0430
      CALL POLES                                                        CDED0440
      CALL STACDS                                                       CDED0450
      IF (NST) 40, 40, 10                                               CDED0460
   10 DO 30 K = 1, 3                                                    CDED0470
         ITAB = K                                                       CDED0480
         NLINE = LINPP                                                  CDED0490
         DO 20 I = 1, NST                                               CDED0500
            IF (K-2) 11, 12, 13                                         CDED0510
   11       CALL COORDS(I)                                              CDED0520
            GO TO 20                                                    CDED0530
   12       CALL TIMES(I)                                               CDED0540
            GO TO 20                                                    CDED0550
   13       CALL FIELDS(I)                                              CDED0560
   20    CONTINUE                                                       CDED0570
   30 CONTINUE                                                          CDED0580
      WRITE (6,601) NST, NPAGE                                          CDED0590
      STOP                                                              CDED0600
   40 WRITE (6,602)                                                     CDED0610
      STOP 4                                                            CDED0620
  601 FORMAT ('0', 'END OF RUN,', I4, ' STATIONS,', I3, ' PAGES')       CDED0630
  602 FORMAT ('0', '*** NO STATION CARD COULD BE USED')                 CDED0640
      END                                                               CDED0650
C                                                                       CDED0660
C     CONSTANTS - A IS THE RADIUS KM OF THE REFERENCE SPHERE OF THE     CDED0670
C     COEFFICIENTS, AE AND FLAT ARE OF WGS84                            CDED0680
C                                                                       CDED0690
      BLOCK DATA CDBLK                                                  CDED0700
      IMPLICIT DOUBLE PRECISION (A-H,O-Z)                               CDED0710
      COMMON /EARTH/ A, AE, FLAT, DEG                                   CDED0720
      COMMON /PRINT/ NPAGE, NLINE, LINPP, ITAB                          CDED0730
      DATA A, AE, FLAT /6371.2D0, 6378.137D0, 298.257223563D0/          CDED0740
      DATA DEG /57.295779513082320877D0/                                CDED0750
      DATA NPAGE, NLINE, LINPP, ITAB /0, 0, 60, 0/                      CDED0760
      END                                                               CDED0770
C                                                                       CDED0780
C     TITLE, CONTROL AND COEFFICIENT CARDS                              CDED0790
C                                                                       CDED0800
      SUBROUTINE CARDS                                                  CDED0810
      IMPLICIT DOUBLE PRECISION (A-H,O-Z)                               CDED0820
      CHARACTER*72 TITLE                                                CDED0830
      COMMON /HEAD/ TITLE                                               CDED0840
      COMMON /PRINT/ NPAGE, NLINE, LINPP, ITAB                          CDED0850
      COMMON /GAUSS/ G(5), H(5), EPOCH, ICOORD                          CDED0860
      DIMENSION NN(5), MM(5)                                            CDED0870
      SAVE NN, MM                                                       CDED0880
      DATA NN /1, 1, 2, 2, 2/, MM /0, 1, 0, 1, 2/                       CDED0890
      NCARD = 1                                                         CDED0900
      READ (5,501,END=80,ERR=90) TITLE                                  CDED0910
      NCARD = 2                                                         CDED0920
      READ (5,502,END=80,ERR=90) EPOCH, ICOORD, LINPP                   CDED0930
      IF (ICOORD.LT.0 .OR. ICOORD.GT.1) GO TO 90                        CDED0940
      IF (LINPP.LT.20 .OR. LINPP.GT.99) GO TO 90                        CDED0950
      DO 10 K = 1, 5                                                    CDED0960
         NCARD = K + 2                                                  CDED0970
         READ (5,503,END=80,ERR=90) N, M, G(K), H(K)                    CDED0980
         IF (N.NE.NN(K) .OR. M.NE.MM(K)) GO TO 90                       CDED0990
   10 CONTINUE                                                          CDED1000
      NCARD = 4                                                         CDED1010
      IF (G(1)**2 + G(2)**2 + H(2)**2 .EQ. 0.D0) GO TO 90               CDED1020
      RETURN                                                            CDED1030
   80 WRITE (6,601) NCARD                                               CDED1040
      STOP 1                                                            CDED1050
   90 WRITE (6,602) NCARD                                               CDED1060
      STOP 2                                                            CDED1070
  501 FORMAT (A72)                                                      CDED1080
  502 FORMAT (F10.3, 2I5)                                               CDED1090
  503 FORMAT (2I5, 2F10.2)                                              CDED1100
  601 FORMAT (' *** THE DECK ENDS BEFORE CARD', I4)                     CDED1110
  602 FORMAT (' *** BAD CARD', I4)                                      CDED1120
      END                                                               CDED1130
C                                                                       CDED1140
C     MOMENT B0, ROTATION R FROM GEOGRAPHIC TO DIPOLE AXES, OFFSET DEL  CDED1150
C     IN RADII AND D IN KM                                              CDED1160
C                                                                       CDED1170
      SUBROUTINE DIPOLE                                                 CDED1180
      IMPLICIT DOUBLE PRECISION (A-H,O-Z)                               CDED1190
      COMMON /EARTH/ A, AE, FLAT, DEG                                   CDED1200
      COMMON /GAUSS/ G(5), H(5), EPOCH, ICOORD                          CDED1210
      COMMON /DIPOL/ B0, R(3,3), DEL(3), D(3)                           CDED1220
      EQUIVALENCE (G10, GG(1)), (G11, GG(2)), (G20, GG(3)),             CDED1230
     1            (G21, GG(4)), (G22, GG(5)),                           CDED1240
     2            (H11, HH(2)), (H21, HH(4)), (H22, HH(5))              CDED1250
      DIMENSION GG(5), HH(5)                                            CDED1260
      DO 10 K = 1, 5                                                    CDED1270
         GG(K) = G(K)                                                   CDED1280
         HH(K) = H(K)                                                   CDED1290
   10 CONTINUE                                                          CDED1300
      B02 = G10*G10 + G11*G11 + H11*H11                                 CDED1310
      B0 = DSQRT(B02)                                                   CDED1320
C     COLATITUDE AND LONGITUDE OF THE NORTH POLE BY SINE AND COSINE     CDED1330
      S = DSQRT(G11*G11 + H11*H11)                                      CDED1340
      CT = -G10/B0                                                      CDED1350
      ST = S/B0                                                         CDED1360
      CL = 1.D0                                                         CDED1370
      SL = 0.D0                                                         CDED1380
      IF (S) 30, 30, 20                                                 CDED1390
   20 CL = -G11/S                                                       CDED1400
      SL = -H11/S                                                       CDED1410
   30 R(1,1) = CT*CL                                                    CDED1420
      R(1,2) = CT*SL                                                    CDED1430
      R(1,3) = -ST                                                      CDED1440
      R(2,1) = -SL                                                      CDED1450
      R(2,2) = CL                                                       CDED1460
      R(2,3) = 0.D0                                                     CDED1470
      R(3,1) = ST*CL                                                    CDED1480
      R(3,2) = ST*SL                                                    CDED1490
      R(3,3) = CT                                                       CDED1500
      ROOT3 = DSQRT(3.D0)                                               CDED1510
      EL0 = 2.D0*G10*G20 + ROOT3*(G11*G21 + H11*H21)                    CDED1520
      EL1 = -G11*G20 + ROOT3*(G10*G21 + G11*G22 + H11*H22)              CDED1530
      EL2 = -H11*G20 + ROOT3*(G10*H21 - H11*G22 + G11*H22)              CDED1540
      E = (EL0*G10 + EL1*G11 + EL2*H11)/(4.D0*B02)                      CDED1550
      DEL(1) = (EL1 - G11*E)/(3.D0*B02)                                 CDED1560
      DEL(2) = (EL2 - H11*E)/(3.D0*B02)                                 CDED1570
      DEL(3) = (EL0 - G10*E)/(3.D0*B02)                                 CDED1580
      DO 40 I = 1, 3                                                    CDED1590
         D(I) = A*DEL(I)                                                CDED1600
   40 CONTINUE                                                          CDED1610
      RETURN                                                            CDED1620
      END                                                               CDED1630
C                                                                       CDED1640
C     FIRST PAGE - COEFFICIENTS AND DIPOLES                             CDED1650
C                                                                       CDED1660
      SUBROUTINE REPORT                                                 CDED1670
      IMPLICIT DOUBLE PRECISION (A-H,O-Z)                               CDED1680
      COMMON /EARTH/ A, AE, FLAT, DEG                                   CDED1690
      COMMON /PRINT/ NPAGE, NLINE, LINPP, ITAB                          CDED1700
      COMMON /GAUSS/ G(5), H(5), EPOCH, ICOORD                          CDED1710
      COMMON /DIPOL/ B0, R(3,3), DEL(3), D(3)                           CDED1720
      DIMENSION NN(5), MM(5)                                            CDED1730
      SAVE NN, MM                                                       CDED1740
      DATA NN /1, 1, 2, 2, 2/, MM /0, 1, 0, 1, 2/                       CDED1750
      CALL PAGE                                                         CDED1760
      WRITE (6,601) EPOCH                                               CDED1770
      IF (ICOORD) 10, 10, 20                                            CDED1780
   10 WRITE (6,602) A                                                   CDED1790
      GO TO 30                                                          CDED1800
   20 WRITE (6,603)                                                     CDED1810
   30 WRITE (6,604) (NN(K), MM(K), G(K), H(K), K = 1, 5)                CDED1820
C     MOMENT 4 PI A**3 B0/MU0, A IN M, B0 IN T, MU0/4 PI = 1.D-7        CDED1830
      EMOM = (A*1.D3)**3*B0*1.D-9/1.D-7                                 CDED1840
      WRITE (6,605) B0, EMOM, ((R(I,J), J = 1, 3), I = 1, 3)            CDED1850
      DIST = DSQRT(D(1)**2 + D(2)**2 + D(3)**2)                         CDED1860
      DLAT = ANGLE(D(3), DSQRT(D(1)**2 + D(2)**2))                      CDED1870
      DLON = ANGLE(D(2), D(1))                                          CDED1880
      WRITE (6,606) DEL, D, DIST, DLAT, DLON                            CDED1890
      RETURN                                                            CDED1900
  601 FORMAT ('0', 'EPOCH', F9.2)                                       CDED1910
  602 FORMAT (' ', 'GEOCENTRIC LATITUDES, HEIGHTS ABOVE THE SPHERE OF', CDED1920
     1        F8.1, ' KM')                                              CDED1930
  603 FORMAT (' ', 'GEODETIC LATITUDES, HEIGHTS ABOVE THE WGS84 ',      CDED1940
     1        'ELLIPSOID')                                              CDED1950
  604 FORMAT ('0', 'GAUSS COEFFICIENTS, SCHMIDT, NT', /,                CDED1960
     1        5X, 'N', 4X, 'M', 11X, 'G', 11X, 'H', 5(/, 1X, 2I5,       CDED1970
     2        2F12.2))                                                  CDED1980
  605 FORMAT ('0', 'REDUCED MOMENT', F15.2, ' NT', /,                   CDED1990
     1        ' ', 'MOMENT', 1PD23.5, ' A M2', 0P, //,                  CDED2000
     2        ' ', 'ROTATION FROM GEOGRAPHIC TO DIPOLE AXES',           CDED2010
     3        3(/, 1X, 3F13.8))                                         CDED2020
  606 FORMAT ('0', 'OFFSET OF THE ECCENTRIC DIPOLE, GEOGRAPHIC AXES', /,CDED2030
     1        ' ', 'RADII', 3F13.8, /, ' ', 'KM   ', 3F13.4, /,         CDED2040
     2        ' ', 'DISTANCE', F10.4, ' KM TOWARDS LATITUDE', F9.4,     CDED2050
     3        '  LONGITUDE', F10.4)                                     CDED2060
      END                                                               CDED2070
C                                                                       CDED2080
C     POLES - OF THE CD, WHERE THE AXIS OF THE ED MEETS THE SPHERE OF   CDED2090
C     RADIUS A, AND WHERE THE FIELD OF THE ED IS VERTICAL THERE         CDED2100
C                                                                       CDED2110
      SUBROUTINE POLES                                                  CDED2120
      IMPLICIT DOUBLE PRECISION (A-H,O-Z)                               CDED2130
      COMMON /EARTH/ A, AE, FLAT, DEG                                   CDED2140
      COMMON /DIPOL/ B0, R(3,3), DEL(3), D(3)                           CDED2150
      DIMENSION U(3), V(3), PLAT(6), PLON(6)                            CDED2160
C     THE OFFSET IN DIPOLE AXES, P ACROSS AND Q ALONG THE AXIS          CDED2170
      CALL TURN(R, DEL, U)                                              CDED2180
      P = DSQRT(U(1)**2 + U(2)**2)                                      CDED2190
      Q = U(3)                                                          CDED2200
      AZ = ANGLE(U(2), U(1))/DEG                                        CDED2210
      IF (P - 0.4D0) 5, 5, 70                                           CDED2220
    5 DO 60 K = 1, 6                                                    CDED2230
         SG = 2*MOD(K,2) - 1                                            CDED2240
         IF (K-3) 10, 20, 20                                            CDED2250
   10    V(1) = 0.D0                                                    CDED2260
         V(2) = 0.D0                                                    CDED2270
         V(3) = SG                                                      CDED2280
         GO TO 50                                                       CDED2290
   20    IF (K-5) 30, 40, 40                                            CDED2300
   30    V(1) = U(1)                                                    CDED2310
         V(2) = U(2)                                                    CDED2320
         V(3) = SG*DSQRT(1.D0 - P*P)                                    CDED2330
         GO TO 50                                                       CDED2340
   40    CALL NEWTON(P, Q, SG, PSI)                                     CDED2350
         V(1) = DSIN(PSI)*DCOS(AZ)                                      CDED2360
         V(2) = DSIN(PSI)*DSIN(AZ)                                      CDED2370
         V(3) = DCOS(PSI)                                               CDED2380
   50    X = R(1,1)*V(1) + R(2,1)*V(2) + R(3,1)*V(3)                    CDED2390
         Y = R(1,2)*V(1) + R(2,2)*V(2) + R(3,2)*V(3)                    CDED2400
         Z = R(1,3)*V(1) + R(2,3)*V(2) + R(3,3)*V(3)                    CDED2410
         PLAT(K) = ANGLE(Z, DSQRT(X*X + Y*Y))                           CDED2420
         PLON(K) = ANGLE(Y, X)                                          CDED2430
   60 CONTINUE                                                          CDED2440
      WRITE (6,601) (PLAT(K), PLON(K), K = 1, 6)                        CDED2450
      RETURN                                                            CDED2460
   70 WRITE (6,602)                                                     CDED2470
      RETURN                                                            CDED2480
  601 FORMAT ('0', 'POLES, GEOCENTRIC', 18X, 'NORTH', 21X, 'SOUTH', /,  CDED2490
     1        24X, 'LATITUDE', 4X, 'LONGITUDE', 5X, 'LATITUDE', 4X,     CDED2500
     2        'LONGITUDE', /,                                           CDED2510
     3        ' ', 'CD, AXIS           ', F12.4, 3F13.4, /,             CDED2520
     4        ' ', 'ED, AXIS           ', F12.4, 3F13.4, /,             CDED2530
     5        ' ', 'ED, FIELD VERTICAL ', F12.4, 3F13.4)                CDED2540
  602 FORMAT ('0', '*** NO POLES, THE OFFSET ACROSS THE AXIS IS ABOVE ',CDED2550
     1        '0.4 RADII')                                              CDED2560
      END                                                               CDED2570
C                                                                       CDED2580
C     COLATITUDE PSI IN DIPOLE AXES OF A POLE OF VERTICAL FIELD, IN THE CDED2590
C     PLANE OF THE AXIS AND THE CENTRE OF THE EARTH                     CDED2600
C                                                                       CDED2610
      SUBROUTINE NEWTON(P, Q, SG, PSI)                                  CDED2620
      IMPLICIT DOUBLE PRECISION (A-H,O-Z)                               CDED2630
      COMMON /EARTH/ A, AE, FLAT, DEG                                   CDED2640
      PSI = DASIN(P)                                                    CDED2650
      IF (SG) 10, 20, 20                                                CDED2660
   10 PSI = 180.D0/DEG - PSI                                            CDED2670
   20 DO 30 ITER = 1, 20                                                CDED2680
         S = DSIN(PSI)                                                  CDED2690
         C = DCOS(PSI)                                                  CDED2700
         DIST2 = 1.D0 + P*P + Q*Q - 2.D0*(P*S + Q*C)                    CDED2710
         SIDE = Q*S - P*C                                               CDED2720
         F = S*DIST2 + 3.D0*(C - Q)*SIDE                                CDED2730
         FP = C*DIST2 - S*SIDE + 3.D0*(C - Q)*(Q*C + P*S)               CDED2740
         STEP = F/FP                                                    CDED2750
         PSI = PSI - STEP                                               CDED2760
         IF (DABS(STEP) - 1.D-12) 40, 40, 30                            CDED2770
   30 CONTINUE                                                          CDED2780
      WRITE (6,601)                                                     CDED2790
      STOP 3                                                            CDED2800
   40 RETURN                                                            CDED2810
  601 FORMAT (' *** NO POLE OF VERTICAL FIELD FOUND')                   CDED2820
      END                                                               CDED2830
C                                                                       CDED2840
C     STATION CARDS TO THE END OF THE DECK                              CDED2850
C                                                                       CDED2860
      SUBROUTINE STACDS                                                 CDED2870
      IMPLICIT DOUBLE PRECISION (A-H,O-Z)                               CDED2880
      CHARACTER*16 NAME                                                 CDED2890
      COMMON /STNAM/ NAME(200)                                          CDED2900
      COMMON /STATN/ SLAT(200), SLON(200), SHT(200), SSEC(200),         CDED2910
     1               IYMD(3,200), IHM(2,200), NST                       CDED2920
      NST = 0                                                           CDED2930
      NCARD = 7                                                         CDED2940
   10 IF (NST-200) 20, 90, 90                                           CDED2950
   20 I = NST + 1                                                       CDED2960
      NCARD = NCARD + 1                                                 CDED2970
      READ (5,501,END=95,ERR=80) NAME(I), SLAT(I), SLON(I), SHT(I),     CDED2980
     1     (IYMD(K,I), K = 1, 3), (IHM(K,I), K = 1, 2), SSEC(I)         CDED2990
      IF (DABS(SLAT(I)).GT.90.D0) GO TO 80                              CDED3000
      IF (DABS(SLON(I)).GT.360.D0) GO TO 80                             CDED3010
      IF (SHT(I).LT.-100.D0) GO TO 80                                   CDED3020
      IF (IYMD(1,I).LT.1900 .OR. IYMD(1,I).GT.2100) GO TO 80            CDED3030
      IF (IYMD(2,I).LT.1 .OR. IYMD(2,I).GT.12) GO TO 80                 CDED3040
C     THE DAY LIES BEFORE THE FIRST OF THE NEXT MONTH                   CDED3050
      IY = IYMD(1,I) + IYMD(2,I)/12                                     CDED3060
      IM = MOD(IYMD(2,I),12) + 1                                        CDED3070
      LEFT = JULDAY(IY,IM,1)                                            CDED3080
     1     - JULDAY(IYMD(1,I),IYMD(2,I),IYMD(3,I))                      CDED3090
      IF (IYMD(3,I).LT.1 .OR. LEFT.LT.1) GO TO 80                       CDED3100
      IF (IHM(1,I).LT.0 .OR. IHM(1,I).GT.23) GO TO 80                   CDED3110
      IF (IHM(2,I).LT.0 .OR. IHM(2,I).GT.59) GO TO 80                   CDED3120
      IF (SSEC(I).LT.0.D0 .OR. SSEC(I).GE.60.D0) GO TO 80               CDED3130
      NST = I                                                           CDED3140
      GO TO 10                                                          CDED3150
   80 WRITE (6,601) NCARD                                               CDED3160
      GO TO 10                                                          CDED3170
   90 WRITE (6,602)                                                     CDED3180
   95 RETURN                                                            CDED3190
  501 FORMAT (A16, F9.4, F10.4, F8.2, I6, 2I3, 2X, 2I3, F6.2)           CDED3200
  601 FORMAT ('0', '*** CARD', I4, ' REJECTED')                         CDED3210
  602 FORMAT ('0', '*** ONLY THE FIRST 200 STATIONS ARE USED')          CDED3220
      END                                                               CDED3230
C                                                                       CDED3240
C     TABLE 1 - COORDINATES                                             CDED3250
C                                                                       CDED3260
      SUBROUTINE COORDS(I)                                              CDED3270
      IMPLICIT DOUBLE PRECISION (A-H,O-Z)                               CDED3280
      CHARACTER*16 NAME                                                 CDED3290
      COMMON /STNAM/ NAME(200)                                          CDED3300
      COMMON /STATN/ SLAT(200), SLON(200), SHT(200), SSEC(200),         CDED3310
     1               IYMD(3,200), IHM(2,200), NST                       CDED3320
      DIMENSION V(3), C(3), E(3)                                        CDED3330
      CALL VECTOR(I, V)                                                 CDED3340
      CALL SPHERE(V, 0, C)                                              CDED3350
      CALL SPHERE(V, 1, E)                                              CDED3360
      CALL LINES(1)                                                     CDED3370
      WRITE (6,601) NAME(I), SLAT(I), SLON(I), SHT(I), C, E             CDED3380
      RETURN                                                            CDED3390
  601 FORMAT (' ', A16, F10.4, F11.4, F9.2, 2(F12.4, F11.4, F11.3))     CDED3400
      END                                                               CDED3410
C                                                                       CDED3420
C     TABLE 2 - LOCAL TIMES                                             CDED3430
C                                                                       CDED3440
      SUBROUTINE TIMES(I)                                               CDED3450
      IMPLICIT DOUBLE PRECISION (A-H,O-Z)                               CDED3460
      CHARACTER*16 NAME                                                 CDED3470
      COMMON /EARTH/ A, AE, FLAT, DEG                                   CDED3480
      COMMON /STNAM/ NAME(200)                                          CDED3490
      COMMON /STATN/ SLAT(200), SLON(200), SHT(200), SSEC(200),         CDED3500
     1               IYMD(3,200), IHM(2,200), NST                       CDED3510
      DIMENSION V(3), S(3), C(3), E(3), CSUN(3), ESUN(3), T(4),         CDED3520
     1          IHMS(3,3)                                               CDED3530
      CALL VECTOR(I, V)                                                 CDED3540
      CALL SPHERE(V, 0, C)                                              CDED3550
      CALL SPHERE(V, 1, E)                                              CDED3560
      CALL SUN(I, SSLAT, SSLON)                                         CDED3570
      S(1) = A*DCOS(SSLAT/DEG)*DCOS(SSLON/DEG)                          CDED3580
      S(2) = A*DCOS(SSLAT/DEG)*DSIN(SSLON/DEG)                          CDED3590
      S(3) = A*DSIN(SSLAT/DEG)                                          CDED3600
      CALL SPHERE(S, 0, CSUN)                                           CDED3610
      CALL SPHERE(S, 1, ESUN)                                           CDED3620
      T(1) = HOURS(SLON(I) - SSLON)                                     CDED3630
      T(2) = HOURS(C(2) - CSUN(2))                                      CDED3640
C     AT INFINITY THE SUN HAS THE SAME LONGITUDE IN BOTH FRAMES         CDED3650
      T(3) = HOURS(E(2) - CSUN(2))                                      CDED3660
      T(4) = HOURS(E(2) - ESUN(2))                                      CDED3670
      DO 10 K = 1, 3                                                    CDED3680
         ISEC = IDINT(T(K+1)*3600.D0 + 0.5D0)                           CDED3690
         IHMS(1,K) = MOD(ISEC/3600, 24)                                 CDED3700
         IHMS(2,K) = MOD(ISEC/60, 60)                                   CDED3710
         IHMS(3,K) = MOD(ISEC, 60)                                      CDED3720
   10 CONTINUE                                                          CDED3730
      CALL LINES(1)                                                     CDED3740
      WRITE (6,601) NAME(I), (IYMD(K,I), K = 1, 3),                     CDED3750
     1     (IHM(K,I), K = 1, 2), SSEC(I), SSLAT, SSLON, T(1),           CDED3760
     2     (T(K+1), (IHMS(J,K), J = 1, 3), K = 1, 3)                    CDED3770
      RETURN                                                            CDED3780
  601 FORMAT (' ', A16, I5, 2I3, I4, I3, F6.2, F10.4, F11.4, F10.4,     CDED3790
     1        3(F10.4, I4, 2I3))                                        CDED3800
      END                                                               CDED3810
C                                                                       CDED3820
C     TABLE 3 - FIELDS                                                  CDED3830
C                                                                       CDED3840
      SUBROUTINE FIELDS(I)                                              CDED3850
      IMPLICIT DOUBLE PRECISION (A-H,O-Z)                               CDED3860
      CHARACTER*16 NAME                                                 CDED3870
      COMMON /EARTH/ A, AE, FLAT, DEG                                   CDED3880
      COMMON /DIPOL/ B0, R(3,3), DEL(3), D(3)                           CDED3890
      COMMON /STNAM/ NAME(200)                                          CDED3900
      COMMON /STATN/ SLAT(200), SLON(200), SHT(200), SSEC(200),         CDED3910
     1               IYMD(3,200), IHM(2,200), NST                       CDED3920
      DIMENSION V(3), W(3), B(3), F(7,2)                                CDED3930
      CALL VECTOR(I, V)                                                 CDED3940
      SLA = DSIN(SLAT(I)/DEG)                                           CDED3950
      CLA = DCOS(SLAT(I)/DEG)                                           CDED3960
      SLO = DSIN(SLON(I)/DEG)                                           CDED3970
      CLO = DCOS(SLON(I)/DEG)                                           CDED3980
      DO 40 K = 1, 2                                                    CDED3990
         DO 10 J = 1, 3                                                 CDED4000
            W(J) = V(J) - (K-1)*D(J)                                    CDED4010
   10    CONTINUE                                                       CDED4020
         DIST = DSQRT(W(1)**2 + W(2)**2 + W(3)**2)                      CDED4030
         DO 20 J = 1, 3                                                 CDED4040
            W(J) = W(J)/DIST                                            CDED4050
   20    CONTINUE                                                       CDED4060
         ALONG = 3.D0*(R(3,1)*W(1) + R(3,2)*W(2) + R(3,3)*W(3))         CDED4070
         DO 30 J = 1, 3                                                 CDED4080
            B(J) = B0*(A/DIST)**3*(R(3,J) - ALONG*W(J))                 CDED4090
   30    CONTINUE                                                       CDED4100
         OUT = CLO*B(1) + SLO*B(2)                                      CDED4110
         X = CLA*B(3) - SLA*OUT                                         CDED4120
         Y = CLO*B(2) - SLO*B(1)                                        CDED4130
         Z = -(CLA*OUT + SLA*B(3))                                      CDED4140
         H = DSQRT(X*X + Y*Y)                                           CDED4150
         F(1,K) = X                                                     CDED4160
         F(2,K) = Y                                                     CDED4170
         F(3,K) = Z                                                     CDED4180
         F(4,K) = H                                                     CDED4190
         F(5,K) = DSQRT(H*H + Z*Z)                                      CDED4200
         F(6,K) = ANGLE(Y, X)                                           CDED4210
         F(7,K) = ANGLE(Z, H)                                           CDED4220
   40 CONTINUE                                                          CDED4230
      CALL LINES(2)                                                     CDED4240
      WRITE (6,601) NAME(I), F                                          CDED4250
      RETURN                                                            CDED4260
  601 FORMAT (' ', A16, '  CD', 5F12.2, F13.4, F11.4, /,                CDED4270
     1        ' ', 16X, '  ED', 5F12.2, F13.4, F11.4)                   CDED4280
      END                                                               CDED4290
C                                                                       CDED4300
C     GEOGRAPHIC RECTANGULAR COORDINATES KM OF A STATION                CDED4310
C                                                                       CDED4320
      SUBROUTINE VECTOR(I, V)                                           CDED4330
      IMPLICIT DOUBLE PRECISION (A-H,O-Z)                               CDED4340
      COMMON /EARTH/ A, AE, FLAT, DEG                                   CDED4350
      COMMON /GAUSS/ G(5), H(5), EPOCH, ICOORD                          CDED4360
      COMMON /STATN/ SLAT(200), SLON(200), SHT(200), SSEC(200),         CDED4370
     1               IYMD(3,200), IHM(2,200), NST                       CDED4380
      DIMENSION V(3)                                                    CDED4390
      SLA = DSIN(SLAT(I)/DEG)                                           CDED4400
      CLA = DCOS(SLAT(I)/DEG)                                           CDED4410
      IF (ICOORD) 10, 10, 20                                            CDED4420
   10 ACROSS = (A + SHT(I))*CLA                                         CDED4430
      V(3) = (A + SHT(I))*SLA                                           CDED4440
      GO TO 30                                                          CDED4450
C     E2 IS THE SQUARE OF THE ECCENTRICITY, FLAT THE INVERSE FLATTENING CDED4460
   20 E2 = (2.D0 - 1.D0/FLAT)/FLAT                                      CDED4470
      RN = AE/DSQRT(1.D0 - E2*SLA*SLA)                                  CDED4480
      ACROSS = (RN + SHT(I))*CLA                                        CDED4490
      V(3) = (RN*(1.D0 - E2) + SHT(I))*SLA                              CDED4500
   30 V(1) = ACROSS*DCOS(SLON(I)/DEG)                                   CDED4510
      V(2) = ACROSS*DSIN(SLON(I)/DEG)                                   CDED4520
      RETURN                                                            CDED4530
      END                                                               CDED4540
C                                                                       CDED4550
C     LATITUDE, LONGITUDE, DISTANCE IN THE CD (IED=0) OR THE ED (IED=1) CDED4560
C                                                                       CDED4570
      SUBROUTINE SPHERE(V, IED, P)                                      CDED4580
      IMPLICIT DOUBLE PRECISION (A-H,O-Z)                               CDED4590
      COMMON /DIPOL/ B0, R(3,3), DEL(3), D(3)                           CDED4600
      DIMENSION V(3), P(3), W(3), U(3)                                  CDED4610
      DO 10 J = 1, 3                                                    CDED4620
         W(J) = V(J) - IED*D(J)                                         CDED4630
   10 CONTINUE                                                          CDED4640
      CALL TURN(R, W, U)                                                CDED4650
      ACROSS = DSQRT(U(1)**2 + U(2)**2)                                 CDED4660
      P(1) = ANGLE(U(3), ACROSS)                                        CDED4670
      P(2) = ANGLE(U(2), U(1))                                          CDED4680
      P(3) = DSQRT(ACROSS**2 + U(3)**2)                                 CDED4690
      RETURN                                                            CDED4700
      END                                                               CDED4710
C                                                                       CDED4720
C     SUBSOLAR POINT - ASTRONOMICAL ALMANAC 1996, PAGE C24              CDED4730
C                                                                       CDED4740
      SUBROUTINE SUN(I, SSLAT, SSLON)                                   CDED4750
      IMPLICIT DOUBLE PRECISION (A-H,O-Z)                               CDED4760
      COMMON /EARTH/ A, AE, FLAT, DEG                                   CDED4770
      COMMON /STATN/ SLAT(200), SLON(200), SHT(200), SSEC(200),         CDED4780
     1               IYMD(3,200), IHM(2,200), NST                       CDED4790
      UT = IHM(1,I) + (IHM(2,I) + SSEC(I)/60.D0)/60.D0                  CDED4800
C     DAYS FROM 2000 JANUARY 1, 12 H                                    CDED4810
      AN = JULDAY(IYMD(1,I),IYMD(2,I),IYMD(3,I)) - 2451545              CDED4820
     1   + (UT/24.D0 - 0.5D0)                                           CDED4830
      EL = DMOD(280.451D0 + 0.9856474D0*AN, 360.D0)                     CDED4840
      G = DMOD(357.528D0 + 0.9856003D0*AN, 360.D0)/DEG                  CDED4850
      ELAM = (EL + 1.915D0*DSIN(G) + 0.020D0*DSIN(2.D0*G))/DEG          CDED4860
      EPS = (23.439D0 - 4.D-7*AN)/DEG                                   CDED4870
      ALPHA = ANGLE(DCOS(EPS)*DSIN(ELAM), DCOS(ELAM))                   CDED4880
      SSLAT = DASIN(DSIN(EPS)*DSIN(ELAM))*DEG                           CDED4890
      SSLON = DMOD(ALPHA - EL + 180.D0 - 15.D0*UT, 360.D0)              CDED4900
      IF (SSLON.GT.180.D0) SSLON = SSLON - 360.D0                       CDED4910
      IF (SSLON.LE.-180.D0) SSLON = SSLON + 360.D0                      CDED4920
      RETURN                                                            CDED4930
      END                                                               CDED4940
C                                                                       CDED4950
C     JULIAN DAY NUMBER OF THE NOON OF A DATE - H F FLIEGEL AND         CDED4960
C     T C VAN FLANDERN, COMM ACM 11 (1968) 657                          CDED4970
C                                                                       CDED4980
      INTEGER FUNCTION JULDAY(IY, IM, ID)                               CDED4990
      J = (IM - 14)/12                                                  CDED5000
      JULDAY = ID - 32075 + 1461*(IY + 4800 + J)/4                      CDED5010
     1       + 367*(IM - 2 - J*12)/12 - 3*((IY + 4900 + J)/100)/4       CDED5020
      RETURN                                                            CDED5030
      END                                                               CDED5040
C                                                                       CDED5050
C     U = R V                                                           CDED5060
C                                                                       CDED5070
      SUBROUTINE TURN(R, V, U)                                          CDED5080
      IMPLICIT DOUBLE PRECISION (A-H,O-Z)                               CDED5090
      DIMENSION R(3,3), V(3), U(3)                                      CDED5100
      DO 10 I = 1, 3                                                    CDED5110
         U(I) = R(I,1)*V(1) + R(I,2)*V(2) + R(I,3)*V(3)                 CDED5120
   10 CONTINUE                                                          CDED5130
      RETURN                                                            CDED5140
      END                                                               CDED5150
C                                                                       CDED5160
C     ARC TANGENT OF Y/X IN DEGREES, ABOVE -180 TO 180, ZERO IF BOTH ARECDED5170
C                                                                       CDED5180
      DOUBLE PRECISION FUNCTION ANGLE(Y, X)                             CDED5190
      IMPLICIT DOUBLE PRECISION (A-H,O-Z)                               CDED5200
      COMMON /EARTH/ A, AE, FLAT, DEG                                   CDED5210
      IF (Y) 10, 20, 10                                                 CDED5220
   10 ANGLE = DATAN2(Y, X)*DEG                                          CDED5230
      RETURN                                                            CDED5240
   20 ANGLE = 0.D0                                                      CDED5250
      IF (X) 30, 40, 40                                                 CDED5260
   30 ANGLE = 180.D0                                                    CDED5270
   40 RETURN                                                            CDED5280
      END                                                               CDED5290
C                                                                       CDED5300
C     LOCAL TIME IN HOURS FROM THE LONGITUDE WEST OF THE SUN IN DEGREES CDED5310
C                                                                       CDED5320
      DOUBLE PRECISION FUNCTION HOURS(DIFF)                             CDED5330
      IMPLICIT DOUBLE PRECISION (A-H,O-Z)                               CDED5340
      HOURS = DMOD(12.D0 + DIFF/15.D0, 24.D0)                           CDED5350
      IF (HOURS) 10, 20, 20                                             CDED5360
   10 HOURS = HOURS + 24.D0                                             CDED5370
   20 RETURN                                                            CDED5380
      END                                                               CDED5390
C                                                                       CDED5400
C     ROOM FOR N LINES, OR A NEW PAGE WITH THE HEADINGS OF TABLE ITAB   CDED5410
C                                                                       CDED5420
      SUBROUTINE LINES(N)                                               CDED5430
      IMPLICIT DOUBLE PRECISION (A-H,O-Z)                               CDED5440
      COMMON /PRINT/ NPAGE, NLINE, LINPP, ITAB                          CDED5450
      IF (NLINE + N - LINPP) 50, 50, 5                                  CDED5460
    5 CALL PAGE                                                         CDED5470
      NLINE = 7                                                         CDED5480
      GO TO (10, 20, 30), ITAB                                          CDED5490
   10 WRITE (6,601)                                                     CDED5500
      GO TO 40                                                          CDED5510
   20 WRITE (6,602)                                                     CDED5520
      GO TO 40                                                          CDED5530
   30 WRITE (6,603)                                                     CDED5540
   40 CONTINUE                                                          CDED5550
   50 NLINE = NLINE + N                                                 CDED5560
      RETURN                                                            CDED5570
  601 FORMAT ('0', 27X, 'GEOGRAPHIC', 20X, 'CENTRED DIPOLE', 20X,       CDED5580
     1        'ECCENTRIC DIPOLE', /, ' ', 'STATION', 16X, 'LAT', 7X,    CDED5590
     2        'LONG', 3X, 'HEIGHT', 2(9X, 'LAT', 7X, 'LONG', 7X,        CDED5600
     3        'DIST'), /, ' ', 23X, 'DEG', 8X, 'DEG', 7X, 'KM',         CDED5610
     4        2(9X, 'DEG', 8X, 'DEG', 9X, 'KM'), /)                     CDED5620
  602 FORMAT ('0', 21X, 'DATE', 8X, 'UT', 12X, 'SUBSOLAR POINT', 2X,    CDED5630
     1        'APPARENT', 6X, 'CENTRED DIPOLE', 2(4X,                   CDED5640
     2        'ECCENTRIC DIPOLE'), /, ' ', 'STATION', 13X, 'Y', 2X,     CDED5650
     3        'M', 2X, 'D', 3X, 'H', 2X, 'M', 5X, 'S', 7X, 'LAT', 7X,   CDED5660
     4        'LONG', 5X, 'SOLAR', 25X, 'SUN AT INFINITY', 2X,          CDED5670
     5        'SUN AT SUBSOLAR PT', /, ' ', 47X, 'DEG', 8X, 'DEG', 9X,  CDED5680
     6        'H', 3(9X, 'H', 3X, 'H', 2X, 'M', 2X, 'S'), /)            CDED5690
  603 FORMAT ('0', 'STATION', 24X, 'X', 11X, 'Y', 11X, 'Z', 11X, 'H',   CDED5700
     1        11X, 'F', 12X, 'D', 10X, 'I', /, ' ', 27X, 'NORTH', 8X,   CDED5710
     2        'EAST', 8X, 'DOWN', 7X, 'HORIZ', 7X, 'TOTAL', 7X,         CDED5720
     3        'EAST +', 5X, 'DOWN +', /, ' ', 20X, 5(10X, 'NT'), 10X,   CDED5730
     4        'DEG', 8X, 'DEG', /)                                      CDED5740
      END                                                               CDED5750
C                                                                       CDED5760
C     HEADING OF A PAGE                                                 CDED5770
C                                                                       CDED5780
      SUBROUTINE PAGE                                                   CDED5790
      CHARACTER*72 TITLE                                                CDED5800
      COMMON /HEAD/ TITLE                                               CDED5810
      COMMON /PRINT/ NPAGE, NLINE, LINPP, ITAB                          CDED5820
      NPAGE = NPAGE + 1                                                 CDED5830
      WRITE (6,601) NPAGE, TITLE                                        CDED5840
      RETURN                                                            CDED5850
  601 FORMAT ('1', 'CDED   CENTRED AND ECCENTRIC DIPOLE COORDINATES, ', CDED5860
     1        'TIME AND FIELD', 44X, 'PAGE', I4, /, ' ', A72)           CDED5870
      END                                                               CDED5880
