# accuracy.gp - score against trained numbers. $front and $others: x, mean, low, high; $untuned: two rows of the same, at both ends of the axis.
set logscale x
set format x '%.0s%c'
set xlabel 'trainable parameters (log scale)' offset 0,0.3
set ylabel axis offset 1,0
set grid xtics
set key at screen 0.5,0.02 center bottom horizontal Left reverse samplen 2 width -1 maxrows 1
plot $untuned using 1:3:4 with filledcurves fc rgb '#e6e6e6' notitle, \
     $untuned using 1:2 with lines lw 1.4 dt 2 lc rgb '#333333' title 'untuned', \
     $others using 1:2:3:4 with yerrorbars pt 0 lw 1 lc rgb '#D55E00' notitle, \
     $front using 1:2:3:4 with yerrorbars pt 0 lw 1 lc rgb '#0072B2' title '95 % interval', \
     $front using 1:2 with linespoints lw 1.6 pt 7 lc rgb '#0072B2' title 'Pareto front', \
     $others using 1:2 with points pt 7 ps 0.75*scale lc rgb 'white' notitle, \
     $others using 1:2 with points pt 6 lw 1.4 lc rgb '#D55E00' title 'others'
