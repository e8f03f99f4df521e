# syntax=docker/dockerfile:1
# escape=`
ARG base=scratch
FROM ${base} AS Tools
ARG user=app
ENV HOME=/home/$user
LABEL who="$user"
WORKDIR $HOME
USER ${user}:staff
EXPOSE 80 443/udp
COPY --chown=$user a b /c/
RUN echo "$HOME" `
  && true
ENTRYPOINT ["a", "$HOME"]
CMD b $HOME
