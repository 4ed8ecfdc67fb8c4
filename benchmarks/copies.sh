#!/usr/bin/env bash
# Each file of a directory by scp, two at a time, and the MD5 that the server computes of it.
#
# usage: copies.sh SOURCE USER@HOST PORT DIRECTORY SSH_OPTION...
set -euo pipefail

export SERVER=$2 PORT=$3 DIRECTORY=$4
if [[ $1 != --file ]]; then
  find "$1" -mindepth 1 -maxdepth 1 -type f -print0 | sort -z |
    xargs -0 -P 2 -I{} bash "$0" --file "$SERVER" "$PORT" "$DIRECTORY" {} "${@:5}"
  exit
fi

file=$5
options=("${@:6}" -c aes128-gcm@openssh.com)
printf -v quoted %q "$DIRECTORY/${file##*/}"
scp -q "${options[@]}" -P "$PORT" "$file" "$SERVER:$DIRECTORY/"
ssh "${options[@]}" -p "$PORT" "$SERVER" "md5sum < $quoted"
