FROM scratch
RUN
RUN  a | b
RUN ["a", "b"]
RUN [ "$a" = b ] || c
RUN cat <<<word
RUN x=$((1<<2)) '<<EOF'
