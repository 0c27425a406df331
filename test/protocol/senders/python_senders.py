"""Sends a file with one of the packages of requirements.txt beside this file: python_senders.py LABEL ENDPOINT FOLDER.

Prints the status and the body of the answer as the package reports them.
"""

import asyncio
import json
import os
import subprocess
import sys
import urllib.request

LABEL, ENDPOINT, FOLDER = sys.argv[1:]
PHOTO = os.path.join(FOLDER, "photo.png")
ODD_NAME = '写 "1".png'
ODDLY_NAMED = os.path.join(FOLDER, ODD_NAME)


def by_requests(method, url, **options):
    import requests

    response = requests.request(method, url, **options)
    return response.status_code, response.text


def by_httpx(method, url, **options):
    import httpx

    response = httpx.request(method, url, **options)
    return response.status_code, response.text


def by_aiohttp(method, url, make_body, **options):
    import aiohttp

    async def send():
        async with aiohttp.ClientSession() as session:
            async with session.request(method, url, data=make_body(aiohttp), **options) as response:
                return response.status, await response.text()

    return asyncio.run(send())


def aiohttp_form(with_note=True, **options):
    def make(aiohttp):
        form = aiohttp.FormData(**options)
        if with_note:
            form.add_field("note", "hi")
        form.add_field("file", open(ODDLY_NAMED, "rb"), filename=ODD_NAME, content_type="image/png")
        return form

    return make


def by_httpie(*arguments, stdin=subprocess.DEVNULL):
    command = [sys.executable, "-m", "httpie", "--print=hb", "--pretty=none", *arguments]
    output = subprocess.run(command, stdin=stdin, stdout=subprocess.PIPE, check=True, encoding="utf-8").stdout
    head, _, body = output.replace("\r\n", "\n").partition("\n\n")
    return int(head.split(" ")[1]), body


def pieces():
    with open(PHOTO, "rb") as file:
        yield file.read(100)
        yield file.read()


def by_toolbelt():
    from requests_toolbelt import MultipartEncoder

    file = (ODD_NAME, open(ODDLY_NAMED, "rb"), "image/png")
    form = MultipartEncoder({"note": "hi", "file": file})
    return by_requests("POST", ENDPOINT, data=form, headers={"Content-Type": form.content_type})


def by_urllib():
    headers = {"Content-Type": "image/png"}
    with open(PHOTO, "rb") as file:
        request = urllib.request.Request(f"{ENDPOINT}/photo.png", data=file.read(), method="PUT", headers=headers)
    with urllib.request.urlopen(request) as response:
        return response.status, response.read().decode()


def named_file():
    return {"file": (ODD_NAME, open(ODDLY_NAMED, "rb"), "image/png")}


SENDERS = {
    "aiohttp-body": lambda: by_aiohttp(
        "PUT", f"{ENDPOINT}/photo.png", lambda _: open(PHOTO, "rb"), headers={"Content-Type": "image/png"}
    ),
    "aiohttp-dict": lambda: by_aiohttp("POST", ENDPOINT, lambda _: {"file": open(PHOTO, "rb")}),
    "aiohttp-formdata": lambda: by_aiohttp("POST", ENDPOINT, aiohttp_form()),
    "aiohttp-formdata-unquoted": lambda: by_aiohttp(
        "POST", ENDPOINT, aiohttp_form(with_note=False, quote_fields=False)
    ),
    "httpie-body": lambda: by_httpie("POST", f"{ENDPOINT}?filename=photo.png", stdin=open(PHOTO, "rb")),
    "httpie-form": lambda: by_httpie("--ignore-stdin", "--form", "POST", ENDPOINT, "note=hi", f"file@{ODDLY_NAMED}"),
    "httpx-content": lambda: by_httpx("PUT", f"{ENDPOINT}/photo.png", content=open(PHOTO, "rb").read()),
    "httpx-files": lambda: by_httpx("POST", ENDPOINT, data={"note": "hi"}, files=named_file()),
    "requests-data-open": lambda: by_requests("POST", f"{ENDPOINT}?filename=photo.png", data=open(PHOTO, "rb")),
    "requests-files": lambda: by_requests("POST", ENDPOINT, data={"note": "hi"}, files=named_file()),
    "requests-files-bytes": lambda: by_requests("POST", ENDPOINT, files={"upload": open(PHOTO, "rb").read()}),
    "requests-files-open": lambda: by_requests("POST", ENDPOINT, files={"file": open(PHOTO, "rb")}),
    "requests-generator": lambda: by_requests(
        "POST", ENDPOINT, data=pieces(), headers={"Content-Type": "image/png"}
    ),
    "requests-json-and-file": lambda: by_requests(
        "POST",
        ENDPOINT,
        files={
            "metadata": (None, '{"a":1}', "application/json"),
            "file": ("photo.png", open(PHOTO, "rb"), "image/png"),
        },
    ),
    "requests-put": lambda: by_requests("PUT", f"{ENDPOINT}/photo.png", data=open(PHOTO, "rb").read()),
    "requests-toolbelt": by_toolbelt,
    "urllib-put": by_urllib,
}

STATUS, BODY = SENDERS[LABEL]()
print(json.dumps({"status": STATUS, "body": BODY}))
