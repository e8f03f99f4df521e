FROM scratch
ENV f=foo.tar.gz
LABEL a=${f%.*} b=${f%%.*} c=${f#*.} d=${f##*.} e=${f/o/0} g=${f//o/0}
LABEL h="\$f" i='$f' j=\$f k=$ l=${f:?never} m=$$
