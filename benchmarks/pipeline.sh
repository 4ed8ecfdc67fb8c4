#!/usr/bin/env bash
# What a careful administrator writes instead of a program: each entry of a directory through
# tar | COMPRESSOR | ssh, two at a time over one ssh connection; the MD5 computed on the way is compared
# with the one that the server computes, then the archive gets its name, or is deleted.
#
# usage: pipeline.sh SOURCE USER@HOST PORT DIRECTORY KEY KNOWN_HOSTS SUFFIX COMPRESSOR [ARGUMENT...]
set -euo pipefail

if [[ $1 != --entry ]]; then
  export SOURCE=$1 SERVER=$2 DIRECTORY=$4 SUFFIX=$7 STAMP WORK
  STAMP=$(date -u +%Y%m%dT%H%M%SZ)
  WORK=$(mktemp -d)
  trap 'rm -rf "$WORK"' EXIT
  ssh -F none -M -S "$WORK/master" -N -p "$3" -i "$5" -o IdentitiesOnly=yes -o BatchMode=yes \
    -o UserKnownHostsFile="$6" -o Compression=no -c aes128-gcm@openssh.com "$SERVER" &
  until ssh -F none -S "$WORK/master" -O check "$SERVER" 2>/dev/null; do sleep 0.01; kill -0 $!; done
  status=0
  find "$SOURCE" -mindepth 1 -maxdepth 1 -printf '%f\0' | sort -z |
    xargs -0 -P 2 -I{} bash "$0" --entry {} "${@:8}" || status=$?
  ssh -F none -S "$WORK/master" -O exit "$SERVER" 2>/dev/null
  wait
  exit "$status"
fi

entry=$2
compressor=("${@:3}")
final=$DIRECTORY/$entry-$STAMP$SUFFIX
printf -v final_quoted %q "$final"
printf -v temp_quoted %q "$DIRECTORY/.$entry-$STAMP$SUFFIX.part"
remote() { ssh -F none -S "$WORK/master" "$SERVER" "$1"; }

mkfifo "$WORK/$entry.fifo"
md5sum <"$WORK/$entry.fifo" >"$WORK/$entry.md5" &
stored=$(tar -C "$SOURCE" -cf - -- "$entry" | "${compressor[@]}" | tee "$WORK/$entry.fifo" |
  remote "cat > $temp_quoted && md5sum < $temp_quoted")
wait $!
if [[ $stored != "$(<"$WORK/$entry.md5")" ]]; then
  remote "rm -f $temp_quoted"
  echo "$entry: the server has '$stored', sent was '$(<"$WORK/$entry.md5")'" >&2
  exit 1
fi
remote "mv -n $temp_quoted $final_quoted && test ! -e $temp_quoted"
