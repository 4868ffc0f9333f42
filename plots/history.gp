# history.gp - scores by commit. $values: a block a row of place, score; $levels: the same, lines with gaps; name[]: the rows; commit[]: their names.
set xtics () rotate by 40 right nomirror
do for [i=1:|commit|] { set xtics add (commit[i] i) }
set xlabel 'commit, by its first run' offset 0,-0.2
set ylabel axis offset 1,0
set key at graph 1.02,1 left top Left reverse vertical samplen 3 spacing 1.15
plot for [i=1:n] $levels index i-1 using 1:2 with lines lw 1.8 dt dash(i) lc rgb color(i) notitle, \
     for [i=1:n] $values index i-1 using 1:2 with points lc rgb color(i) pt shape(i) notitle, \
     for [i=1:n] NaN with linespoints lw 1.8 dt dash(i) lc rgb color(i) pt shape(i) title name[i]
