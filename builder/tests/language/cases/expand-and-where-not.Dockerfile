FROM scratch
ENV v=x p="80 81"
RUN $v
ENTRYPOINT $v
CMD ["$v"]
COPY --chown=$v --chmod=$v $v /$v
EXPOSE $p ""
USER $v
WORKDIR /$v
LABEL $v=$v
