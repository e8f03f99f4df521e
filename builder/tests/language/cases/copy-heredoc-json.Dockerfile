FROM scratch
COPY ["<<EOF", "/x"]
