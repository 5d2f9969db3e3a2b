# shellcheck shell=bash
# Shared by the scripts of this folder: messages and progress. Source it, do not run it.

# Colours only where a person watches; NO_COLOR (https://no-color.org) switches them off there too.
if [[ -t 2 && -z ${NO_COLOR:-} && ${TERM:-dumb} != dumb ]]; then
  style_bold=$'\e[1m' style_dim=$'\e[2m' style_red=$'\e[31m' style_green=$'\e[32m' style_yellow=$'\e[33m' style_off=$'\e[0m'
else
  style_bold='' style_dim='' style_red='' style_green='' style_yellow='' style_off=''
fi

step_number=0
step_total=0

# steps N: announces how many `step` lines will follow.
steps() {
  step_number=0
  step_total=$1
}

# step TEXT: the next "[1/7] TEXT" line.
step() {
  step_number=$((step_number + 1))
  printf '%s[%d/%d]%s %s\n' "$style_bold" "$step_number" "$step_total" "$style_off" "$*" >&2
}

# Everything meant for people goes to stderr, so that stdout stays clean for `env`, `--json` and pipes.
say() { printf '%s\n' "$*" >&2; }
detail() { printf '%s      %s%s\n' "$style_dim" "$*" "$style_off" >&2; }
good() { printf '%s%s%s\n' "$style_green" "$*" "$style_off" >&2; }
warn() { printf '%swarning:%s %s\n' "$style_yellow" "$style_off" "$*" >&2; }
die() {
  printf '%serror:%s %s\n' "$style_red" "$style_off" "$*" >&2
  exit 1
}

# require COMMAND…: dies, naming the way out, when a command is missing.
require() {
  local command
  for command in "$@"; do
    command -v "$command" >/dev/null || die "$command is not installed; run scripts/install"
  done
}

# seconds_since START: whole seconds since START, a value of $EPOCHREALTIME or $EPOCHSECONDS.
seconds_since() { printf '%d' "$((EPOCHSECONDS - ${1%.*}))"; }

# random_token: 32 hexadecimal characters from the kernel's generator.
random_token() { od -An -N16 -tx1 /dev/urandom | tr -d ' \n'; }
