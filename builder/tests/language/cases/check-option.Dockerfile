# check=skip=A;warn=true
FROM scratch
