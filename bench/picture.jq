# SPDX-License-Identifier: Apache-2.0
# Makes an SVG picture of one raw result: jq -r -f bench/picture.jq bench/raw/NAME.json
#
# Input: {title, x, y, log_x?, log_y?, series: [{name, floor?, points: [[x, y], ...]}]} for lines, or
#        {title, unit, bars: [{name, value, floor?}]} for bars. What has "floor" is the kernel's own limit: it is gray.

def escape: gsub("&"; "&amp;") | gsub("<"; "&lt;") | gsub(">"; "&gt;");
def colors: ["#0969da", "#bc4c00", "#1a7f37", "#8250df", "#bf3989"];
def grays: ["#6e7781", "#afb8c1"];
def width: 760;
def round_to_10: . * 10 | round / 10;

# The colors of the series in order: those of the floors are gray.
def colored:
  reduce .[] as $s ({out: [], c: 0, g: 0};
    if $s.floor then .out += [$s + {color: grays[.g % 2], dash: "6 4"}] | .g += 1
    else .out += [$s + {color: colors[.c % 5], dash: ""}] | .c += 1 end) | .out;

# The picture has a background of its own, so that it can be read on a light and on a dark page.
def frame($height; $title; $body):
  "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 \(width) \($height)\" width=\"\(width)\" height=\"\($height)\" font-family=\"sans-serif\" font-size=\"13\">",
  "<rect x=\"0.5\" y=\"0.5\" width=\"\(width - 1)\" height=\"\($height - 1)\" rx=\"8\" fill=\"#ffffff\" stroke=\"#d0d7de\"/>",
  "<text x=\"20\" y=\"30\" font-size=\"16\" font-weight=\"bold\" fill=\"#1f2328\">\($title | escape)</text>",
  $body,
  "</svg>";

def number: if . >= 100 then round elif . >= 10 then round_to_10 else . * 100 | round / 100 end;

def bars:
  . as $in
  | (.bars | map(.value) | max) as $most
  | (.bars | colored) as $bars
  | .unit as $unit
  | [range($bars | length) as $i | $bars[$i] | (54 + $i * 34) as $top
     | ([.value / $most * 330, 1] | max | round_to_10) as $length
     | "<text x=\"290\" y=\"\($top + 16)\" text-anchor=\"end\" fill=\"#1f2328\">\(.name | escape)</text>",
       "<rect x=\"300\" y=\"\($top)\" width=\"\($length)\" height=\"22\" rx=\"3\" fill=\"\(.color)\"/>",
       "<text x=\"\(308 + $length)\" y=\"\($top + 16)\" fill=\"#1f2328\">\(.value | number) \($unit | escape)</text>"]
  | join("\n") as $body
  | frame(74 + ($bars | length) * 34; $in.title; $body);

def scaled($log): if $log then log10 else . end;

# Round values between two bounds, for the lines of the grid.
def ticks($low; $high; $log):
  if $log then
    [range($low | log10 | floor; ($high | log10 | ceil) + 1) as $e | 1, 2, 5 | . * pow(10; $e)]
    | map(select(. >= $low and . <= $high))
  else
    pow(10; ($high - $low | log10 | floor)) as $power
    | (($high - $low) / $power | if . < 2 then 0.25 elif . < 5 then 0.5 else 1 end * $power * 2) as $step
    | [range(($low / $step | ceil); ($high / $step | floor) + 1) * $step]
  end;

def lines:
  . as $in
  | (.log_x // false) as $log_x | (.log_y // false) as $log_y
  | (.series | colored) as $series
  | [$series[].points[][0]] as $xs | [$series[].points[][1]] as $ys
  | ($xs | min) as $x0 | ($xs | max) as $x1
  | (if $log_y then $ys | min else 0 end) as $y0 | (($ys | max) * (if $log_y then 1.1 else 1.05 end)) as $y1
  | def px: ((scaled($log_x) - ($x0 | scaled($log_x))) / (($x1 | scaled($log_x)) - ($x0 | scaled($log_x))) * 640 + 80) | round_to_10;
    def py: (330 - (scaled($log_y) - ($y0 | scaled($log_y))) / (($y1 | scaled($log_y)) - ($y0 | scaled($log_y))) * 270) | round_to_10;
    [ (ticks($x0; $x1; $log_x)[] | "<line x1=\"\(px)\" y1=\"60\" x2=\"\(px)\" y2=\"330\" stroke=\"#eaeef2\"/><text x=\"\(px)\" y=\"348\" text-anchor=\"middle\" fill=\"#59636e\">\(.)</text>"),
      (ticks($y0; $y1; $log_y)[] | "<line x1=\"80\" y1=\"\(py)\" x2=\"720\" y2=\"\(py)\" stroke=\"#eaeef2\"/><text x=\"72\" y=\"\(py + 4)\" text-anchor=\"end\" fill=\"#59636e\">\(.)</text>"),
      "<text x=\"400\" y=\"370\" text-anchor=\"middle\" fill=\"#59636e\">\($in.x | escape)</text>",
      "<text x=\"20\" y=\"52\" fill=\"#59636e\">\($in.y | escape)</text>",
      ($series[] | "<polyline fill=\"none\" stroke=\"\(.color)\" stroke-width=\"2.5\" stroke-dasharray=\"\(.dash)\" points=\"\(.points | map("\(.[0] | px),\(.[1] | py)") | join(" "))\"/>"),
      (range($series | length) as $i | $series[$i] | (392 + ($i / 2 | floor) * 22) as $y | (80 + $i % 2 * 330) as $x
       | "<line x1=\"\($x)\" y1=\"\($y - 4)\" x2=\"\($x + 28)\" y2=\"\($y - 4)\" stroke=\"\(.color)\" stroke-width=\"3\" stroke-dasharray=\"\(.dash)\"/><text x=\"\($x + 36)\" y=\"\($y)\" fill=\"#1f2328\">\(.name | escape)</text>") ]
  | join("\n") as $body
  | frame(406 + (($series | length) / 2 | ceil) * 22 - 10; $in.title; $body);

if .bars then bars else lines end
