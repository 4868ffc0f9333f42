# common.gp - what all figures share. Before it stand the terminal, the margins and the data (harness/plot.c); `scale` is how many px the terminal has
# for one of the layout's.
# Colours are Okabe and Ito's without their yellow, which paper swallows; whatever a colour tells, a shape or a dash tells too.
set border 3 lw 0.8 lc rgb '#333333'
set tics nomirror out scale 0.6 tc rgb '#222222'
set grid ytics lt 1 lw 0.6 lc rgb '#cccccc' dt 1
set style fill solid 1.0 noborder
set title heading offset 0,-0.4
set pointsize (scale > 1 ? 0.9 : 0.75)*scale
set errorbars small
unset key
color(i) = word('#0072B2 #D55E00 #009E73 #CC79A7 #000000 #E69F00 #56B4E9', (i - 1) % 7 + 1)
shape(i) = int(word('7 4 9 6 13 10 5 8 11 12 2', (i - 1) % 11 + 1))
dash(i) = int(word('1 2 4 3 5', (i - 1) % 5 + 1))
