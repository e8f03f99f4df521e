FROM scratch
RUN ls
