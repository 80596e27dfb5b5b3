#!/bin/sh
# Puts Bun and the package ws where bench/run.py looks for them: bench/peers/install_npm.sh BUILD
set -eu

[ $# -eq 1 ] || { echo "usage: $0 BUILD" >&2; exit 2; }
folder=$1/bench/npm
[ -d "$folder/node_modules/ws" ] && [ -e "$folder/node_modules/.bin/bun" ] && exit 0
if ! command -v npm >/dev/null; then
    echo "npm is not there: Bun and ws are left out" >&2
    exit 0
fi
mkdir -p "$folder"
npm install --no-audit --no-fund --prefix "$folder" ws@8 bun@1
