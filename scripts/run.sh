#!/bin/sh
# Runs a TypeScript program of this repository under the Node it brings: sh scripts/run.sh FILE [ARG…]
# Installs the dependencies first when the lockfile changed, so that a fresh clone needs no other set-up.
set -eu
cd "$(dirname "$0")/.."

stamp=node_modules/.installed-lockfile
if ! cmp -s pnpm-lock.yaml "$stamp"; then
  command -v npx >/dev/null || { echo "cannot install: npx is missing; install Node.js 18 or newer with npm" >&2; exit 1; }
  echo "Installing dependencies" >&2
  npx -y pnpm@12.21.0 install --frozen-lockfile --reporter=append-only >&2
  cp pnpm-lock.yaml "$stamp"
fi
# Where tools of the system are; not every root has it.
PATH=$PATH:/usr/sbin:/sbin
export PATH
exec node_modules/.bin/node --disable-warning=ExperimentalWarning -C source "$@"
