FROM scratch
ARG a
ARG b= c="x y" d=$c-$b
LABEL v=$d a=[$a]
