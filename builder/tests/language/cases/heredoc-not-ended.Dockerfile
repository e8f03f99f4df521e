FROM scratch
COPY <<EOF\ OF /x
RUN <<EOF
 a
 EOF
