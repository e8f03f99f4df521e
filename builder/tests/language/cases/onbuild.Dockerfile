FROM scratch
ONBUILD RUN   a  \
  b
onbuild copy --from=x <<EOF <<-'TWO' /a/
one $x
EOF
	two
	TWO
ONBUILD CMD ["a"]
ONBUILD NOTHING x
