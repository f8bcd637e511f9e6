#!/bin/sh
# Build the wheel, install it alone into an empty environment, and use it: no development-only dependency can hide.
set -eu
python=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$python" -m build --wheel --outdir "$work/dist" . >"$work/build.log" 2>&1 || { tail -20 "$work/build.log"; exit 1; }
"$python" -m venv "$work/venv"
"$work/venv/bin/python" -m pip --disable-pip-version-check --quiet install --no-compile -c constraints.txt "$work"/dist/lapel-*.whl
cd "$work"
lapel="$work/venv/bin/lapel"
"$lapel" --help
"$work/venv/bin/python" -c 'import importlib.util as u; assert not u.find_spec("torch") and not u.find_spec("streamlit")'
"$lapel" demo --folder demo --products 20 --no-serve
"$lapel" search demo/wardrobe/images/"$(ls demo/wardrobe/images | head -1)" --store demo/shop -k 3
"$lapel" ui --store demo/shop 2>&1 | grep -q "lapel\[ui\]" && echo "The wheel works: $(ls -la dist | awk '/whl/ {print $9, $5}')"
