# loss.gp - training loss by step. $curves: a block a row of step, loss; name[]: the rows; apart: drawn steps from mark to mark.
if (log_scale) set logscale y
set xlabel axis offset 0,0.3
set ylabel 'training loss (nats/token'.(log_scale ? ', log scale)' : ')') offset 1,0
set key at graph 1.02,1 left top Left reverse vertical samplen 3 spacing 1.15
plot for [i=1:n] $curves index i-1 using 1:2 with linespoints lw 1.4 dt dash(i) lc rgb color(i) pt shape(i) pi apart title name[i]
