#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes and reads hot lists, for tests: an encoder that shares no code with src/hot.

  hot_lists.py hpl1 REGION:OFFSET...                   write HPL1
  hot_lists.py hpl2 MEMORY_BYTES REGIONS PAGE...       write HPL2; REGIONS is OFFSET+SIZE,...
  hot_lists.py pages                                   print the pages of an HPL2 list
  hot_lists.py packed MEMORY_FILE PAGE...              write a packed list, in pieces of two pages
"""

import os
import sys
import zlib

PAGE = 4096


def leb(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def section(kind, body):
    return bytes([kind]) + leb(len(body)) + body


def hpl1(entries):
    return b"HPL1" + leb(len(entries)) + b"".join(leb(r) + leb(o) for r, o in entries)


def hpl2(memory_bytes, regions, pages, digest=b""):
    image = leb(PAGE) + leb(memory_bytes) + leb(len(regions))
    image += b"".join(leb(offset) + leb(size) for offset, size in regions)
    image += leb(len(digest)) + digest
    runs = []
    for page in pages:
        if runs and sum(runs[-1]) == page:
            runs[-1][1] += 1
        else:
            runs.append([page, 1])
    groups = []
    for _, count in runs:
        if groups and groups[-1][1] == count:
            groups[-1][0] += 1
        else:
            groups.append([1, count])
    body = leb(0) + leb(len(runs)) + leb(len(groups))
    body += b"".join(leb(repeat) + leb(count) for repeat, count in groups)
    expected = 0
    for first, count in runs:
        delta = first - expected
        body += leb(2 * delta if delta >= 0 else -2 * delta - 1)
        expected = first + count
    sections = section(1, image) + section(2, body)
    head = b"HPL2" + (12 + len(sections) + 4).to_bytes(8, "little")
    return head + sections + zlib.crc32(head + sections).to_bytes(4, "little")


def packed(listed, contents, inode, modified_ns, piece_pages=2):
    """A list in HPL2, and the contents of its pages in its order."""
    piece = piece_pages * PAGE
    sums = b"".join(
        zlib.crc32(contents[at : at + piece]).to_bytes(4, "little") for at in range(0, len(contents), piece)
    )
    size = 48 + len(listed) + len(sums) + 4
    start = (size + PAGE - 1) // PAGE * PAGE
    head = b"HPW1" + piece_pages.to_bytes(4, "little")
    for number in (start + len(contents), start, inode, modified_ns, len(listed)):
        head += number.to_bytes(8, "little")
    known = head + listed + sums
    known += zlib.crc32(known).to_bytes(4, "little")
    return known + bytes(start - len(known)) + contents


def packed_of(memory, pages):
    with open(memory, "rb") as file:
        data = file.read()
        status = os.stat(file.fileno())
    contents = b"".join(data[page * PAGE : (page + 1) * PAGE] for page in pages)
    listed = hpl2(len(data), [(0, len(data))], pages)
    return packed(listed, contents, status.st_ino, status.st_mtime_ns)


def pages_of(data):
    assert data[:4] == b"HPL2" and int.from_bytes(data[4:12], "little") == len(data)
    assert zlib.crc32(data[:-4]) == int.from_bytes(data[-4:], "little")
    at = 12

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data) - 4:
        kind = data[at]
        at += 1
        size = number()
        if kind != 2:
            at += size
            continue
        number()  # flags
        runs, groups = number(), number()
        counts = []
        for _ in range(groups):
            repeat = number()
            counts += [number()] * repeat
        assert len(counts) == runs
        expected = 0
        for count in counts:
            delta = number()
            first = expected + (delta // 2 if delta % 2 == 0 else -(delta + 1) // 2)
            expected = first + count
            yield from range(first, expected)


def main():
    what, args = sys.argv[1], sys.argv[2:]
    if what == "hpl1":
        entries = [tuple(int(n) for n in entry.split(":")) for entry in args]
        sys.stdout.buffer.write(hpl1(entries))
    elif what == "hpl2":
        regions = [tuple(int(n) for n in part.split("+")) for part in args[1].split(",")]
        sys.stdout.buffer.write(hpl2(int(args[0]), regions, [int(page) for page in args[2:]]))
    elif what == "packed":
        sys.stdout.buffer.write(packed_of(args[0], [int(page) for page in args[1:]]))
    else:
        for page in pages_of(sys.stdin.buffer.read()):
            print(page)


if __name__ == "__main__":
    main()
