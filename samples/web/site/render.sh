# Makes the page: one paragraph a text, and a list of all that is in the image.
set -eu
out=$1
mkdir -p "$out"
{
    echo '<!doctype html>'
    echo '<html lang="en"><head><meta charset="utf-8"><title>mkimg</title></head><body>'
    echo '<h1>@GREETING@</h1>'
    for text in *.txt; do
        echo "<p>$(cat "$text")</p>"
    done
    echo '<h2>The programs of this image</h2>'
    echo '<pre>'
    ls -l /usr/bin/ | sed '1d; s/&/\&amp;/g; s/</\&lt;/g' || exit 1
    echo '</pre></body></html>'
} >"$out/index.html"
