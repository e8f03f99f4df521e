FROM scratch
ENV v=x
RUN $v
ENTRYPOINT $v
CMD ["$v"]
COPY --chown=$v --chmod=$v $v /$v
EXPOSE ${p:-80 81}
USER $v
WORKDIR /$v
LABEL $v=$v
