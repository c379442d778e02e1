#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# hotpage-record heatmap: the colors of known pages in the picture.
# shellcheck disable=SC2154 # output, stderr and lines are set by run

setup() {
  load helpers
  common_setup
}
teardown() { common_teardown; }

# 16384 pages: one page for each cell.
list_of() { # <list> <page or line>...
  {
    echo '# snapfork-trace 2 page_size=4096 memory_bytes=67108864 regions=0+67108864'
    printf '%s\n' "${@:2}"
  } | hotpage-record record --format hpl2 -o "$1"
}

# Compares the colors of pages in a PNG with a table. Lines of the table: PAGE COLOR.
check_colors() { # <picture> <order> <table>
  rsvg-convert -o picture.png "$1"
  python3 - "$2" "$3" <<'PY'
import sys, zlib
data = open("picture.png", "rb").read()
at, idat = 8, b""
while at < len(data):
    size, kind = int.from_bytes(data[at:at + 4], "big"), data[at + 4:at + 8]
    body = data[at + 8:at + 8 + size]
    if kind == b"IHDR":
        width, height, depth, color = int.from_bytes(body[:4], "big"), int.from_bytes(body[4:8], "big"), body[8], body[9]
        assert depth == 8 and color in (2, 6)
        each = 3 if color == 2 else 4
    elif kind == b"IDAT":
        idat += body
    at += 12 + size
raw, rows, before = zlib.decompress(idat), [], bytearray(width * each)
for y in range(height):
    method, row = raw[y * (width * each + 1)], bytearray(raw[y * (width * each + 1) + 1:(y + 1) * (width * each + 1)])
    for i in range(len(row)):
        a, b, c = row[i - each] if i >= each else 0, before[i], before[i - each] if i >= each else 0
        p = a + b - c
        paeth = a if abs(p - a) <= abs(p - b) and abs(p - a) <= abs(p - c) else b if abs(p - b) <= abs(p - c) else c
        row[i] = (row[i] + (0, a, b, (a + b) // 2, paeth)[method]) & 255
    rows.append(row)
    before = row
def place(page):  # the Hilbert curve, as its definition draws it
    if sys.argv[1] == "rows":
        return page % 128, page // 128
    x = y = 0
    s = 1
    while s < 128:
        rx, ry = page // 2 & 1, (page ^ page // 2) & 1
        if ry == 0:
            if rx:
                x, y = s - 1 - x, s - 1 - y
            x, y = y, x
        x, y, page, s = x + s * rx, y + s * ry, page // 4, s * 2
    return x, y
for line in open(sys.argv[2]):
    page, wanted = line.split()
    x, y = place(int(page))
    px, py = 24 + 5 * x + 2, 72 + 5 * y + 2
    found = "#%02x%02x%02x" % tuple(rows[py][px * each:px * each + 3])
    assert found == wanted, (page, px, py, found, wanted)
PY
}

@test "heatmap: 20 pages of two phases have their colors at their places, on a curve and in rows" {
  require_cmd rsvg-convert python3
  pages=(0 1 5 127 128 129 1000 4095 4096 8191)
  later=(8192 9999 10000 12345 16000 16001 16255 16256 16382 16383)
  list_of list "${pages[@]}" '# mark ready' "${later[@]}"
  {
    printf '%s #d85a30\n' "${pages[@]}"
    printf '%s #185fa5\n' "${later[@]}"
    printf '%s #d3d1c7\n' 2 6 126 15999
  } >table
  for order in hilbert rows; do
    hotpage-record heatmap --order "$order" -o picture.svg list
    check_colors picture.svg "$order" table
  done
}

@test "heatmap: holes of the memory file are pale, and two lists are compared" {
  require_cmd rsvg-convert python3
  truncate -s 64M memory
  printf x | dd of=memory bs=4096 seek=300 conv=notrunc status=none
  list_of first 10 11 400
  list_of second 11 500
  run -0 hotpage-record heatmap --json --mem memory -o picture.svg first second
  assert_equal "$(json '[.side, .pages_per_cell, .left, .top, .cell] | @csv')" '128,1,24,72,5'
  assert_equal "$(jq -c '[.legend[] | [.text, .pages]]' <<<"$output")" \
    '[["zero",16383],["data",1],["only first",2],["only second",1],["both",1]]'
  printf '%s\n' '0 #f1efe8' '300 #d3d1c7' '10 #185fa5' '400 #185fa5' '500 #d85a30' '11 #534ab7' >table
  check_colors picture.svg hilbert table
}

@test "heatmap --color weight: the heaviest pages of a cell are on top, for any number of recordings" {
  list_of all 1
  cp all merged
  for ((i = 2; i <= 80; ++i)); do # page I is in 81 - I of 80 lists
    list_of next $(seq "$i")
    hotpage-record merge --format hpl2 -o more merged next
    mv more merged
  done
  run -0 hotpage-record heatmap --json --color weight -o picture.svg merged
  assert_equal "$(jq -c '[.legend[] | select(.text | startswith("in ")) | [.text, .pages, .color]]' <<<"$output")" \
    '[["in 1 to 20 of 80",20,"#f5c4b3"],["in 21 to 40 of 80",20,"#f0997b"],["in 41 to 60 of 80",20,"#d85a30"],["in 61 to 79 of 80",19,"#993c1d"],["in 80 of 80",1,"#4a1b0c"]]'
}

@test "heatmap: blocks for a terminal, and an HPL1 list needs the length of the memory" {
  list_of list 1 2 3
  run -0 hotpage-record heatmap --terminal list
  assert_contains "$output" $'\e[38;5;'
  assert_contains "$output" '3 hot pages (12 KiB) in 1 runs, of 64 MiB of memory'
  hotpage-record convert --format hpl1 -o one list
  run --separate-stderr -1 hotpage-record heatmap one
  assert_contains "$stderr" '--mem FILE'
  truncate -s 64M memory
  hotpage-record heatmap --mem memory - <one | grep -q '</svg>'
}
