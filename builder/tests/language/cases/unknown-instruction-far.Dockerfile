FROM scratch
RUN a &&
apt-get install b
