# shellcheck shell=bash
# Messages and progress for the scripts in this directory. Source it; do not run it.

# Colours only on a terminal, unless NO_COLOR is set (https://no-color.org).
if [[ -t 2 && -z ${NO_COLOR:-} && ${TERM:-dumb} != dumb ]]; then
  style_bold=$'\e[1m' style_dim=$'\e[2m' style_red=$'\e[31m' style_green=$'\e[32m' style_yellow=$'\e[33m' style_off=$'\e[0m'
else
  style_bold='' style_dim='' style_red='' style_green='' style_yellow='' style_off=''
fi

step_number=0
step_total=0

# steps N: sets the number of `step` lines that will follow.
steps() {
  step_number=0
  step_total=$1
}

# step TEXT: the next "[1/7] TEXT" line.
step() {
  step_number=$((step_number + 1))
  printf '%s[%d/%d]%s %s\n' "$style_bold" "$step_number" "$step_total" "$style_off" "$*" >&2
}

# Messages go to stderr, so that stdout contains only the output of `env`, `--json` and pipes.
say() { printf '%s\n' "$*" >&2; }
detail() { printf '%s      %s%s\n' "$style_dim" "$*" "$style_off" >&2; }
good() { printf '%s%s%s\n' "$style_green" "$*" "$style_off" >&2; }
warn() { printf '%swarning:%s %s\n' "$style_yellow" "$style_off" "$*" >&2; }
die() {
  printf '%serror:%s %s\n' "$style_red" "$style_off" "$*" >&2
  exit 1
}

# require COMMAND…: exits with an instruction if a command is missing.
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

# generator_options [--check] [--binary PATH]: sets `check` and `journey`, the program, which it builds without --binary.
generator_options() {
  check='' journey='' stale=0
  while (($#)); do
    case $1 in
      --check) check=1 ;;
      --binary) journey=${2:?--binary needs a path} && shift ;;
      *) die "unknown option $1" ;;
    esac
    shift
  done
  if [[ -z $journey ]]; then
    swift build --jobs "${JOBS:-$(nproc)}" --product journey >&2
    journey=$(swift build --show-bin-path)/journey
  fi
}

# generated FILE MARK COMMAND…: the command's output becomes FILE, or its part between "<!-- begin: MARK -->" and
# "<!-- end -->". With --check it only compares them, and sets `stale`.
generated() {
  local file=$1 mark=${2:+<!-- begin: $2 -->} new
  shift 2
  new=$(mktemp)
  "$@" >"$new"
  if [[ -n $mark ]]; then
    grep -qxF -- "$mark" "$file" || die "$file has no line $mark"
    awk -v mark="$mark" '
      FNR == NR { text = text $0 "\n"; next }
      $0 == mark { printf "%s\n%s", mark, text; inside = 1 }
      $0 == "<!-- end -->" { inside = 0 }
      !inside' "$new" "$file" >"$new.whole"
    mv "$new.whole" "$new"
  fi
  if cmp -s "$new" "$file"; then
    rm "$new"
  elif [[ -n $check ]]; then
    diff -u "$file" "$new" | sed -n '3,20p' >&2 || true
    rm "$new"
    say "$file is out of date; run $0"
    stale=1
  else
    cat "$new" >"$file"
    rm "$new"
    say "wrote $file"
  fi
}
