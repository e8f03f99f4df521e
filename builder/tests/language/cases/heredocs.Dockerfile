FROM scratch
ARG name=you
RUN <<EOF
a "$b"
  c
EOF
RUN cat <<-A <<'B' \
  # a comment between
  > /x
	# not a comment
A
$b \
B
COPY <<EOF <<"raw" <<-tabs /to/
hi $name, \$name '$name' "${none:-no}"
# text
EOF
hi $name
raw
	hi
		there
	tabs
COPY ["<<EOF", "/json"]
RUN ["cat", "<<EOF"]
RUN echo $((1<<2)) '<<EOF' "<<EOF" <<<EOF a<<EOF
