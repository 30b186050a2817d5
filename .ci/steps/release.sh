# shellcheck shell=bash
# Sourced by .ci/run.

# Builds the release from the lock file, and prints its size and the time to its first answer.
step_release() {
    cargo build --release --locked -p grpcchatter
    local binary=$TARGET/release/grpcchatter folder database took
    folder=$(mktemp -d)
    # The release keeps its symbols, for names in a panic's backtrace.
    strip -o "$folder/stripped" "$binary"
    printf '%8s bytes\n' "$(stat -c %s "$binary")"
    printf '%8s bytes without symbols\n' "$(stat -c %s "$folder/stripped")"
    mkfifo "$folder/announcements"
    for database in 'an empty folder' 'an existing database' 'an existing database'; do
        took=$(started_in "$binary" "$folder")
        printf '%8s ms from start to the first answer of /readyz on %s\n' "$took" "$database"
    done
    rm -r "$folder"
}

# Starts a server, prints the milliseconds until it is ready, and ends it.
started_in() {
    local started=${EPOCHREALTIME//[.,]/} url status ready server
    env -i "$1" --server-port 0 --data-dir "$2/data" >"$2/announcements" 2>"$2/log" &
    server=$!
    read -r -t 30 _ url <"$2/announcements"
    url=${url#http://}
    exec 3<>"/dev/tcp/${url%:*}/$(tr -dc 0-9 <<<"${url##*:}")"
    printf 'GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n' >&3
    read -r -t 30 _ status _ <&3
    ready=${EPOCHREALTIME//[.,]/}
    exec 3>&-
    kill -TERM "$server"
    wait "$server"
    [ "$status" = 200 ] || { echo "/readyz answered $status" >&2; return 1; }
    echo "$(((ready - started) / 1000))"
}
