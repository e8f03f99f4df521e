# check=skip=A,B;error=true
FROM scratch
