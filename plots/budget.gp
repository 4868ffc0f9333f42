# budget.gp - best score to expect of k trials. $curves: a block a row of k, expected, low, high; name[]: the rows.
# The curves stand a little beside each other, so that no band hides another.
beside(i) = (i - (n + 1) / 2.0) * 0.5 / n
if (longest <= 20) set xtics 1
set xlabel 'tuning trials k' offset 0,0.3
set ylabel axis offset 1,0
set key at graph 1.02,1 left top Left reverse vertical samplen 3 spacing 1.15
plot for [i=1:n] $curves index i-1 using ($1+beside(i)):2:3:4 with yerrorbars pt 0 lw 0.7 lc rgb color(i) notitle, \
     for [i=1:n] $curves index i-1 using ($1+beside(i)):2 with linespoints lw 1.4 dt dash(i) lc rgb color(i) pt shape(i) title name[i]
