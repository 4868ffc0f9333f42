# throughput.gp - a point a row. $speed: mean, 10th and 90th percentile, row.
set border 1
unset ytics
set grid noytics xtics
set xlabel 'training tokens/s, padding not counted' offset 0,0.3
set key at screen 0.5,0.02 center bottom horizontal Left reverse samplen 2 maxcols 1
set errorbars 1.2
plot $speed using 1:4:2:3 with xerrorbars pt 0 lw 1.4 lc rgb '#0072B2' title '10th to 90th percentile of the steps', \
     $speed using 1:4 with points pt 7 lc rgb '#0072B2' title 'mean over runs'
