import os

from flask import Flask

app = Flask(__name__)


@app.get("/")
def greet():
    return f"{os.environ['GREETING']}, as user {os.getuid()}\n"
