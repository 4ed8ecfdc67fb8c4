#!/usr/bin/env bash
# What a careful administrator writes instead of a program: each entry of a directory through
# tar | COMPRESSOR | ssh, AT_ONCE (2) at a time; the MD5 computed on the way is compared with the one that the server
# computes, then the archive gets its name, or is deleted. With SHARED=yes all go over one ssh connection.
#
# usage: [AT_ONCE=N] [SHARED=yes] pipeline.sh SOURCE USER@HOST PORT DIRECTORY KEY KNOWN_HOSTS SUFFIX COMPRESSOR [ARGUMENT...]
set -euo pipefail

remote() {
  ssh -F none ${SHARED:+-S "$WORK/master"} -p "$PORT" -i "$KEY" -o IdentitiesOnly=yes -o BatchMode=yes \
    -o UserKnownHostsFile="$KNOWN_HOSTS" -o Compression=no -c aes128-gcm@openssh.com "$@"
}

if [[ $1 != --entry ]]; then
  export SOURCE=$1 SERVER=$2 PORT=$3 DIRECTORY=$4 KEY=$5 KNOWN_HOSTS=$6 SUFFIX=$7 STAMP WORK
  STAMP=$(date -u +%Y%m%dT%H%M%SZ)
  WORK=$(mktemp -d)
  trap 'rm -rf "$WORK"' EXIT
  if [[ -n ${SHARED:-} ]]; then
    remote -M -N "$SERVER" &
    until remote -O check "$SERVER" 2>/dev/null; do sleep 0.01; kill -0 $!; done
  fi
  status=0
  find "$SOURCE" -mindepth 1 -maxdepth 1 -printf '%f\0' | sort -z |
    xargs -0 -P "${AT_ONCE:-2}" -I{} bash "$0" --entry {} "${@:8}" || status=$?
  if [[ -n ${SHARED:-} ]]; then
    remote -O exit "$SERVER" 2>/dev/null
    wait
  fi
  exit "$status"
fi

entry=$2
compressor=("${@:3}")
final=$DIRECTORY/$entry-$STAMP$SUFFIX
printf -v final_quoted %q "$final"
printf -v temp_quoted %q "$DIRECTORY/.$entry-$STAMP$SUFFIX.part"

mkfifo "$WORK/$entry.fifo"
md5sum <"$WORK/$entry.fifo" >"$WORK/$entry.md5" &
stored=$(tar -C "$SOURCE" -cf - -- "$entry" | "${compressor[@]}" | tee "$WORK/$entry.fifo" |
  remote "$SERVER" "cat > $temp_quoted && md5sum < $temp_quoted")
wait $!
if [[ $stored != "$(<"$WORK/$entry.md5")" ]]; then
  remote "$SERVER" "rm -f $temp_quoted"
  echo "$entry: the server has '$stored', sent was '$(<"$WORK/$entry.md5")'" >&2
  exit 1
fi
remote "$SERVER" "mv -n $temp_quoted $final_quoted && test ! -e $temp_quoted"
