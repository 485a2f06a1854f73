"""Torch files and safetensors with wrong storages, tensors, directories and headers."""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
from typing import Any

from attacks.opcodes import Attack, archive, call, flat, program, safetensors, storage, stream, tensor, text


def torch_files() -> dict[str, Attack]:
    """Torch's containers with wrong storages and tensors."""
    one = struct.pack("<q", 1) + bytes(4)
    keys = b"]" + text("0") + b"a."
    good = tensor(storage(1))

    def old(value: bytes, tail: bytes = one, **options: Any) -> bytes:
        return stream(flat(value), keys, tail, **options)

    def zipped(value: bytes, data: bytes = bytes(4), **entries: bytes) -> bytes:
        return archive({"archive/data.pkl": program(flat(value), 2), "archive/data/0": data, **entries})

    damaged = "storage '0' is"
    tuples = b")q\x000" + b"".join(b"h%ch%c\x86q%c0" % (i, i, i + 1) for i in range(100))
    swollen = zipped(good)
    at = swollen.rindex(b"PK\x05\x06")
    many = swollen[: at + 10] + b"\xff\xff" + swollen[at + 12 :]
    outside = swollen[: at + 16] + b"\xff\xff\xff\x7f" + swollen[at + 20 :]
    entry = swollen.rindex(b"PK\x01\x02")
    lost = swollen[: entry + 42] + b"\xff\xff\xff\x7f" + swollen[entry + 46 :]
    uneven = swollen[: entry + 20] + struct.pack("<I", 99) + swollen[entry + 24 :]
    longer = swollen[: entry + 20] + b"\xff\xff\xff\x7f" * 2 + swollen[entry + 28 :]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        file.addfile(tarfile.TarInfo("storages"))
    return {
        "1 TiB in a stream": (old(tensor(storage(1 << 40))), damaged),
        "-1 numbers in a stream": (old(tensor(storage(-1))), "a storage of unknown kind"),
        "1 TiB in a zip": (zipped(tensor(storage(1 << 40))), damaged),
        "another count in a stream": (old(good, struct.pack("<q", 9) + bytes(4)), damaged),
        "no storage in a stream": (stream(flat(good)), "its storages are not those"),
        "another storage in a stream": (stream(flat(good), b"]" + text("1") + b"a."), "its storages are not those"),
        "a key of a stream is a list": (stream(flat(good), b"]]a."), "its storages are not those"),
        "no end of a stream": (old(good, b""), damaged),
        "two sizes of a storage": (
            old(b"(" + tensor(storage(1)) + tensor(storage(2)) + b"t"), "has two sizes"
        ),
        "big-endian": (old(good, little=False), "big-endian"),
        "big-endian zip": (zipped(good, **{"archive/byteorder": b"big"}), "big-endian"),
        "quantised": (old(tensor(storage(1, kind=b"ctorch\nQInt8Storage\n"))), "contains QInt8 numbers"),
        "a storage of another module": (old(tensor(storage(1, kind=b"cevil\nFloatStorage\n"))), "unknown kind"),
        "a storage without a name": (old(tensor(storage(1, kind=text("torch.FloatStorage")))), "unknown kind"),
        "a doubling tuple as a key": (
            program(tuples + b"(" + text("storage") + b"ctorch\nFloatStorage\nhd" + text("cpu") + b"K\x01tQ"),
            "of an unpacked .pt file",
        ),
        "a doubling tuple as a key in a stream": (
            stream(tuples + b"(" + text("storage") + b"ctorch\nFloatStorage\nhd" + text("cpu") + b"K\x01tQ"),
            "a storage of unknown kind",
        ),
        "a view": (old(tensor(storage(1, view=b"K\x01"))), "a view of another one"),
        "an offset outside": (old(tensor(storage(1), offset=1)), "larger than its storage"),
        "an offset below": (old(tensor(storage(1), offset=-1)), "wrong sizes"),
        "a stride outside": (old(tensor(storage(1), shape=(2,), stride=(1,))), "larger than its storage"),
        "a stride below": (old(tensor(storage(1), shape=(2,), stride=(-1,))), "wrong sizes"),
        "a stride of 0": (old(tensor(storage(1), shape=(1 << 39,), stride=(0,))), "larger than its storage"),
        "a size that overflows": (old(tensor(storage(1), shape=(1 << 39,) * 4, stride=(0,) * 4)), "larger than"),
        "sizes of text": (
            old(call("torch._utils", "_rebuild_tensor_v2", storage(1), *[text("x")] * 5)), "wrong sizes"
        ),
        "90 axes": (old(tensor(storage(1), shape=(1,) * 90, stride=(1,) * 90)), "wrong sizes"),
        "a tensor of too few arguments": (
            program(flat(call("torch._utils", "_rebuild_tensor_v2"))), "is not a plain tensor"
        ),
        "a parameter in a parameter": (
            old(call("torch._utils", "_rebuild_parameter", call("torch._utils", "_rebuild_parameter"), b"N", b"N")),
            "is not a plain tensor|its storages",
        ),
        "a storage from bytes that are none": (
            program(flat(tensor(call("torch.storage", "_load_from_bytes", text("x"))))), "a storage of unknown kind"
        ),
        "a tensor of another type": (
            program(flat(call("torch._tensor", "_rebuild_from_type_v2", b"N"))), "is not a plain tensor"
        ),
        "a compressed zip": (
            archive({"archive/data.pkl": b"\x80\x02" + bytes(10_000_000)}, zipfile.ZIP_DEFLATED), "with compression"
        ),
        "a zip without a pickle": (archive({"archive/x": b""}), "torch did not write"),
        "two pickles in a zip": (archive({"a/data.pkl": b"", "b/data.pkl": b""}), "torch did not write"),
        "TorchScript": (zipped(good, **{"archive/code/__torch__.py": b"x"}), "TorchScript"),
        "a zip without a storage": (archive({"archive/data.pkl": program(flat(good), 2)}), damaged),
        "a zip without a directory": (b"PK\x03\x04" + bytes(100), "zip: truncated"),
        "a zip of 4 bytes": (b"PK\x03\x04", "zip: truncated"),
        "more entries than a directory has": (many, "out of bounds|truncated"),
        "a directory outside": (outside, "out of bounds"),
        "an entry outside": (lost, "zip: truncated"),
        "an entry of two sizes": (uneven, "an entry that is damaged"),
        "an entry longer than the file": (longer, "out of bounds"),
        "a tar": (buffer.getvalue(), "a tar archive"),
        "20 001 entries": (
            archive({"archive/data.pkl": b"", **{str(i): b"" for i in range(20_001)}}), "out of bounds"
        ),
    }  # fmt: skip


def safetensors_files() -> dict[str, Attack]:
    """Safetensors files with malicious headers."""
    one = b'{"synthesis.b4.const":{"dtype":"F32","shape":[%s],"data_offsets":[%s]}}'
    bad = (
        "a readable safetensors|a safetensors file of another length|a damaged safe|neither a pickle|not a StyleGAN2|"
        "is damaged|damaged header|a truncated safe|only zeros"
    )
    ours = b'{"__metadata__":{"sgi_generator":"%s"}}'
    return {
        "header of 8 EiB": (safetensors(b"{}", length=1 << 62), bad),
        "header longer than the file": (safetensors(b"{}", length=50), bad),
        "header of 0 bytes": (safetensors(b""), bad),
        "header truncated": (safetensors(b'{"a":'), bad),
        "header that is a list": (safetensors(b"[]      "), bad),
        "header nested": (safetensors(b'{"a":' * 100_000), bad),
        "header of brackets": (safetensors(b"{" + b"[" * 1_000_000), bad),
        "empty header": (safetensors(b"{}"), bad),
        "offsets outside": (safetensors(one % (b"1", b"0,4")), bad),
        "offsets backwards": (safetensors(one % (b"1", b"4,0"), bytes(4)), bad),
        "offsets below": (safetensors(one % (b"1", b"-4,0"), bytes(4)), bad),
        "a hole": (safetensors(one % (b"1", b"4,8"), bytes(8)), bad),
        "a shape that overflows": (safetensors(one % (b"4294967296,4294967296", b"0,4"), bytes(4)), bad),
        "a shape below": (safetensors(one % (b"-1", b"0,4"), bytes(4)), bad),
        "data left over": (safetensors(one % (b"1", b"0,4"), bytes(9)), bad),
        "an unknown type": (safetensors((one % (b"1", b"0,4")).replace(b"F32", b"O64"), bytes(4)), bad),
        "a flat dict of one tensor": (safetensors(one % (b"1", b"0,4"), bytes(4)), "not a StyleGAN2"),
        "a generator header that is not JSON": (safetensors(ours % b"{"), bad),
        "a generator header of brackets": (safetensors(ours % (b"[" * 100_000)), bad),
        "a generator header of one number": (safetensors(ours % b"1"), bad),
    }
