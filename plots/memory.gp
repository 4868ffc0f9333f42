# memory.gp - stacked bars. $stacks: a block a category of left end, right end, row; name[]: the categories; $live: most at once, row.
set border 1
unset ytics
set grid noytics xtics
set xlabel 'MiB; behind the bar: sum of the categories (resident in all)' offset 0,0.3
set key at screen 0.5,0.02 center bottom horizontal Left reverse samplen 2 width 2 maxcols 3
pattern(i) = int(word('3 1 4 0 5 2 6 7', (i - 1) % 8 + 1))
plot for [i=1:n] $stacks index i-1 using 1:3:1:2:($3-0.33):($3+0.33) with boxxyerror \
         fs pattern pattern(i) border lc rgb '#333333' fc rgb color(i) lw 0.8 title name[i], \
     $live using 1:2 with points pt 13 ps 1.3*scale lc rgb 'white' notitle, \
     $live using 1:2 with points pt 13 ps 0.8*scale lc rgb '#000000' title 'most at once'
