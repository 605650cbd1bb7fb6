#!/usr/bin/env python3
"""Writes the seed corpus of the fuzzers: small files of every kind that a parser knows.

    python3 tests/fuzz/make_corpus.py [--golden DIR]

DIR is the folder `checkpoints` of the golden cases; its small files are copied. Files that a fuzzer
found stay: nothing is removed. Needs only Python's own library.
"""

import argparse
import collections
import json
import pathlib
import pickle
import shutil
import struct
import zipfile
import zlib

HERE = pathlib.Path(__file__).resolve().parent
CORPUS = HERE / "corpus"
PICTURES = HERE.parent / "io" / "pictures"
MOST_BYTES = 8192  # of a copied file


def write(target, name, data):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


# --- Pickles ---------------------------------------------------------------------------------------

def text(value):
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def integer(value):
    return b"J" + struct.pack("<i", value)


def name(module, attribute):
    return f"c{module}\n{attribute}\n".encode()


def integers(*values):
    return b"(" + b"".join(map(integer, values)) + b"t"


def storage(key, kind, count):
    return b"(" + text("storage") + name("torch", kind) + text(key) + text("cpu") + integer(count) + b"tQ"


def tensor(stored, sizes, strides, offset=0):
    return (name("torch._utils", "_rebuild_tensor_v2") + b"(" + stored + integer(offset)
            + integers(*sizes) + integers(*strides) + b"\x89" + name("collections", "OrderedDict") + b")RtR")


def untyped_tensor(stored, sizes, strides, dtype):
    return (name("torch._utils", "_rebuild_tensor_v3") + b"(" + stored + integer(0) + integers(*sizes)
            + integers(*strides) + b"\x89" + name("collections", "OrderedDict") + b")R"
            + name("torch", dtype) + b"tR")


def dictionary(entries):
    return b"}(" + b"".join(text(key) + value for key, value in entries.items()) + b"u"


def whole(body):
    return b"\x80\x02" + body + b"."


def script_object(kind, attributes):
    return name("__torch__.models", kind) + b")\x81" + dictionary(attributes) + b"b"


FLOATS = storage("0", "FloatStorage", 16)  # the records that the target script_module provides
BYTES = storage("1", "ByteStorage", 21)
MATRIX = tensor(FLOATS, (3, 4), (4, 1), 2)


def pickled_modules():
    untyped = storage("0", "UntypedStorage", 64)
    parameter = name("torch._utils", "_rebuild_parameter") + b"(" + MATRIX + b"\x88N" + b"tR"
    subclass = (name("torch._tensor", "_rebuild_from_type_v2") + b"(" + name("torch._utils", "_rebuild_tensor_v2")
                + name("torch.nn.parameter", "Parameter") + b"(" + FLOATS + integer(0) + integers(2)
                + integers(1) + b"\x89}t}tR")
    return {
        "state_dict": dictionary({"w": MATRIX, "mask": tensor(BYTES, (21,), (1,))}),
        "nested": dictionary({"vq": dictionary({"w": MATRIX}), "list": b"](" + MATRIX + MATRIX + b"e"}),
        "untyped": dictionary({"w": untyped_tensor(untyped, (4, 4), (4, 1), "uint32"),
                               "f8": untyped_tensor(untyped, (64,), (1,), "float8_e4m3fn")}),
        "parameter": dictionary({"w": parameter, "v": subclass}),
        "empty_tensor": dictionary({"w": tensor(storage("2", "FloatStorage", 0), (0, 4), (4, 1))}),
        "expanded": dictionary({"w": tensor(FLOATS, (8, 16), (0, 1))}),
        "booleans": dictionary({"w": tensor(storage("0", "BoolStorage", 64), (64,), (1,))}),
        "module": script_object("Net", {"layer": script_object("Block", {"weight": MATRIX}), "n": integer(3)}),
        "module_in_itself": name("__torch__.models", "Net") + b")\x81q\0" + dictionary({"self": b"h\0"}) + b"b",
        "namespace": dictionary({"args": name("argparse", "Namespace") + b")\x81"
                                 + dictionary({"lr": b"G" + struct.pack(">d", 0.1)}) + b"b", "w": MATRIX}),
    }


def plain_values():
    shared = [1, 2]
    return {
        "numbers": [0, -1, 255, 65535, 2**31, 2**63, -(2**70), 1.5, True, None],
        "texts": ["", "a", "é" * 100, b"bytes", b"x" * 300, bytearray(b"abc")],
        "containers": {"tuple": (1, 2, 3, 4), "set": {1, 2}, "frozen": frozenset((3,)), "list": [shared, shared]},
        "objects": [collections.OrderedDict(a=1), collections.Counter("aab"), pathlib.PurePosixPath("/a"),
                    complex(1, 2), range(3)],
    }


def make_pickles():
    for key, value in plain_values().items():
        for protocol in (0, 1, 2, 4, 5):
            write("unpickler", f"{key}_{protocol}.pkl", pickle.dumps(value, protocol))
    write("unpickler", "instance_0.pkl", b"(S'a'\nI1\ni__builtin__\nset\n.")
    write("unpickler", "object_1.pkl", b"(c__builtin__\nset\n]o.")
    write("unpickler", "persistent_0.pkl", b"Pstorage\n.")
    for key, body in pickled_modules().items():
        write("unpickler", f"{key}.pkl", whole(body))
        write("script_module", f"{key}.pkl", whole(body))


# --- Archives --------------------------------------------------------------------------------------

def archive(records, method=zipfile.ZIP_STORED):
    path = CORPUS / "making.zip"
    with zipfile.ZipFile(path, "w", method) as file:
        for key, data in records.items():
            file.writestr(zipfile.ZipInfo(key), data, compress_type=method)
    data = path.read_bytes()
    path.unlink()
    return data


def torch_records(body):
    return {"archive/data.pkl": whole(body), "archive/byteorder": b"little", "archive/data/0": bytes(range(64)),
            "archive/data/1": bytes(21), "archive/version": b"3\n"}


def legacy(body):
    magic = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
    machine = dictionary({"little_endian": b"\x88"})
    keys = b"](" + text("0") + text("1") + b"e"
    return (b"".join(map(whole, (magic, integer(1001), machine, body, keys)))
            + struct.pack("<q", 16) + bytes(64) + struct.pack("<q", 21) + bytes(21))


def make_archives():
    for key, body in pickled_modules().items():
        for target in ("torch_archive", "weights"):
            write(target, f"{key}.pt", archive(torch_records(body)))
    write("torch_archive", "deflated.pt", archive(torch_records(MATRIX), zipfile.ZIP_DEFLATED))
    write("torch_archive", "legacy.pt", legacy(dictionary({"w": MATRIX, "b": tensor(BYTES, (21,), (1,))})))
    write("weights", "legacy.pt", legacy(dictionary({"vq": dictionary({"w": MATRIX, "b": BYTES})})))


# --- safetensors, indices, numpy -------------------------------------------------------------------

def safetensors(header, data_bytes):
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(encoded)) + encoded + bytes(i & 1 for i in range(data_bytes))


def entry(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def make_safetensors():
    files = {
        "two": safetensors({"__metadata__": {"format": "pt"}, "a": entry("F32", [2, 3], 0, 24),
                            "b": entry("BOOL", [4], 24, 28)}, 28),
        "kinds": safetensors({kind: entry(kind, [1], i, i + 1) for i, kind in
                              enumerate(("U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0"))}, 5),
        "misaligned": safetensors({"a": entry("U8", [1], 0, 1), "b": entry("F64", [1], 1, 9)}, 9),
        "scalar_and_empty": safetensors({"s": entry("F16", [], 0, 2), "e": entry("F32", [0, 4], 2, 2)}, 2),
        "padded": safetensors(b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}   ', 1),
        "many_dimensions": safetensors({"a": entry("U8", [1] * 70, 0, 1)}, 1),
        "nothing": safetensors({}, 0),
    }
    for key, data in files.items():
        write("safetensors", f"{key}.safetensors", data)
    for key in ("two", "scalar_and_empty"):
        write("weights", f"{key}.safetensors", files[key])
    lightning = {"model_ema.decay": entry("F32", [], 0, 4), "model_ema.aw": entry("F32", [1], 4, 8),
                 "_orig_mod.module.a.w": entry("F32", [1], 8, 12)}
    write("weights", "wrapped.safetensors", safetensors(lightning, 12))
    indices = {
        "index": {"metadata": {"total_size": 12}, "weight_map": {"a": "shard.safetensors", "b": "shard.safetensors"}},
        "index_of_itself": {"weight_map": {"a": "weights.bin"}},
        "index_leaves": {"weight_map": {"a": "../shard.safetensors"}},
        "index_nested": {"weight_map": {"a": [[[[1]]]]}},
    }
    for key, value in indices.items():
        write("weights", f"{key}.json", json.dumps(value).encode())
    write("weights", "pointer.txt", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    write("weights", "page.html", b"<!DOCTYPE html><html></html>")
    write("weights", "gzip.bin", b"\x1f\x8b\x08\0\0\0\0\0")


def npy(descr, shape, data, fortran=False, version=1):
    header = f"{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}".encode()
    header += b" " * (53 - len(header) % 64) + b"\n"
    length = struct.pack("<H" if version == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes((version, 0)) + length + header + data


def make_numpy():
    arrays = {
        "floats": npy("<f4", "(2, 3)", bytes(24)),
        "fortran": npy("<i8", "(2, 3)", bytes(48), fortran=True),
        "booleans": npy("|b1", "(4,)", b"\0\1\0\1"),
        "scalar": npy("<f8", "()", bytes(8)),
        "version_3": npy("<u2", "(1,)", bytes(2), version=3),
        "complex": npy("<c16", "(1,)", bytes(16)),
        "many_dimensions": npy("|u1", "(" + "1, " * 70 + ")", bytes(1), fortran=True),
        "structured": npy("[('a', '<f4')]", "(1,)", bytes(4)),
    }
    for key, data in arrays.items():
        write("npz", f"{key}.npy", data)
    members = {f"{key}.npy": arrays[key] for key in ("floats", "fortran", "booleans")}
    write("npz", "stored.npz", archive(members))
    write("npz", "deflated.npz", archive(members, zipfile.ZIP_DEFLATED))
    write("npz", "other_member.npz", archive({"readme.txt": b"hello", "a.npy": arrays["scalar"]}))


# --- Pictures --------------------------------------------------------------------------------------

def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(depth, colour, row_bytes, more=b"", interlace=0, rows=3):
    header = struct.pack(">IIBBBBB", 3, rows, depth, colour, 0, 0, interlace)
    data = zlib.compress(b"".join(b"\0" + bytes(range(row_bytes)) for _ in range(rows)))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + more + chunk(b"IDAT", data) + chunk(b"IEND", b""))


def make_pictures():
    write("image_png", "grey_1.png", png(1, 0, 1))
    write("image_png", "grey_16.png", png(16, 0, 6))
    write("image_png", "rgb.png", png(8, 2, 9))
    write("image_png", "rgb_key.png", png(8, 2, 9, chunk(b"tRNS", bytes((0, 0, 0, 1, 0, 2)))))
    write("image_png", "palette.png", png(2, 3, 1, chunk(b"PLTE", bytes(range(9))) + chunk(b"tRNS", b"\0\x80")))
    write("image_png", "grey_alpha.png", png(8, 4, 6, chunk(b"tEXt", b"Title\0x")))
    write("image_png", "rgba_16.png", png(16, 6, 24))
    write("image_pnm", "p1.pbm", b"P1\n# bits\n3 2\n1 0 1\n010\n")
    write("image_pnm", "p2.pgm", b"P2 2 2 15 0 5 10 15\n")
    write("image_pnm", "p3.ppm", b"P3\n1 2\n255\n1 2 3\n4 5 6\n")
    write("image_pnm", "p4.pbm", b"P4\n9 2\n\xaa\x80\x55\0")
    write("image_pnm", "p5.pgm", b"P5\n2 2\n65535\n" + bytes(8))
    write("image_pnm", "p6.ppm", b"P6\n2 1\n255\n" + bytes(range(6)))
    targets = {".bmp": "image_bmp", ".jpg": "image_jpeg", ".png": "image_png", ".ppm": "image_pnm",
               ".tif": "image_tiff", ".webp": "image_webp"}
    for path in sorted(PICTURES.iterdir()):
        if path.suffix in targets and path.stat().st_size <= 1200:
            write(targets[path.suffix], path.name, path.read_bytes())


# --- Configurations --------------------------------------------------------------------------------

def make_configs():
    files = {
        "all": "name: a run\nsteps: 20\nquick: true\ncolour: green\ninner:\n  rate: 0.25\n  sizes: [3, 4]\n"
               "  names: [a, 'b c', \"d\\n\"]\n",
        "override": "--set inner.sizes=[1, 2]\nsteps: 3\n",
        "override_text": "--set name=\"a: b\"\n",
        "anchors": "inner: &a\n  rate: 0.5\nname: &n text\n",
        "aliases_in_aliases": "name: &a [x, x]\nsteps: &b [*a, *a]\nquick: &c [*b, *b]\ninner: [*c, *c]\n",
        "alias_of_itself": "inner: &a\n  rate: *a\n",
        "extends": "extends: again.yaml\nsteps: 5\n",
        "extends_itself": "extends: settings.yaml\n",
        "escapes": "name: \"\\a\\t\\r\\x01\\u00e9\\\"\\\\\"\n",
        "block_text": "name: |\n  one\n  two\n",
        "folded_text": "name: >\n  one\n  two\n",
        "tags": "steps: !!int 3\nname: !!str 4\n",
        "documents": "---\nsteps: 1\n---\nsteps: 2\n",
        "unknown_key": "stepz: 1\n",
        "twice": "steps: 1\nsteps: 2\n",
        "list": "- a\n- b\n",
        "complex_key": "? [a, b]\n: c\n",
    }
    for key, value in files.items():
        write("config", f"{key}.yaml", value.encode())


def copy_golden(folder):
    for path in sorted(folder.glob("*/*")):
        if not 0 < path.stat().st_size <= MOST_BYTES:
            continue
        for ending, target in ((".safetensors", "safetensors"), (".pt", "torch_archive")):
            if path.name.endswith(ending):
                shutil.copyfile(path, CORPUS / target / f"golden_{path.name}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--golden", type=pathlib.Path, help="the folder `checkpoints` of the golden cases")
    golden = parser.parse_args().golden
    for make in (make_pickles, make_archives, make_safetensors, make_numpy, make_pictures, make_configs):
        make()
    if golden:
        copy_golden(golden)


if __name__ == "__main__":
    main()
