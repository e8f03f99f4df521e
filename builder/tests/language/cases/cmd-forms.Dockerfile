FROM scratch
CMD
CMD []
CMD [ "a", "b c" ]
CMD echo "$a" 'b'
CMD ["a" "b"]
CMD [ -f x ]
