"""Unpacks what a C++ build uses of a wheel: libraries, headers, CMake files and licences.

    unpack_wheel.py WHEEL FOLDER

The layout below FOLDER is that of site-packages, because the libraries find one another by it. Each
file is written beside its final name and renamed, so a file that is there is whole, and a program that
runs from the folder keeps the one it has open. Running it again repairs what is missing.
"""

import os
import shutil
import sys
import zipfile

FOLDERS = ("torch/lib/", "torch/include/", "torch/share/", "nvidia/")


def wanted(name):
    if name.endswith(("/", ".py", ".pyc", ".pyi")):
        return False
    return name.startswith(FOLDERS) or ".dist-info/" in name


def unpack(member, wheel, folder):
    target = os.path.join(folder, *member.filename.split("/"))
    os.makedirs(os.path.dirname(target), exist_ok=True)
    partial = target + ".partial"
    with wheel.open(member) as source, open(partial, "wb") as sink:
        shutil.copyfileobj(source, sink, 1 << 20)
    os.chmod(partial, (member.external_attr >> 16) & 0o777 or 0o644)
    os.replace(partial, target)


def main(wheel_path, folder):
    with zipfile.ZipFile(wheel_path) as wheel:
        for member in wheel.infolist():
            if ".." in member.filename.split("/") or member.filename.startswith("/"):
                sys.exit(f"{wheel_path}: refuses to unpack {member.filename}: outside the folder")
            if wanted(member.filename):
                unpack(member, wheel, folder)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: unpack_wheel.py WHEEL FOLDER")
    main(sys.argv[1], sys.argv[2])
