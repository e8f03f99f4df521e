FROM scratch
ENV a=1 b="x y" c=x\ y d='$a' e=$a
ENV f  g  h
ENV i $f
ENV j=${f:-no} k=${no:-${a}} l=${a:+set} m=${no+set}
LABEL seen="$a|$b|$c|$d|$e|$f|$i|$j|$k|$l|$m"
