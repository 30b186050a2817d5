#!/bin/sh
# A chat with grpcurl: examples/grpcurl.sh [HOST:PORT [USER PASSWORD]]. Server reflection replaces the .proto. At
# the end the script listens until Ctrl-C.
set -eu
server=${1:-127.0.0.1:8080}
account="{\"user_name\":\"${2:-walker1}\",\"password\":\"${3:-Str0ng!pass}\"}"

# call METHOD TOKEN JSON
call() {
    grpcurl -plaintext -H "authorization: Bearer $2" -d "$3" "$server" "grpcchatter.v1.ChatService/$1"
}

# first NAME: prints the first value of this name in the JSON on standard input.
first() {
    sed -nE "s/.*\"$1\": \"([^\"]*)\".*/\1/p" | head -n 1
}

grpcurl -plaintext "$server" describe grpcchatter.v1.ChatService.SendMessage
# Fails if the account exists already, which is fine.
curl -s "http://$server/register" -d "$account"
echo
token=$(curl -s "http://$server/login" -d "$account" | sed -E 's/.*"token":"([^"]*)".*/\1/')

code=$(call CreateChatRoom "$token" '{"room_name":"tea"}' | first shortCode)
chat=$(call JoinChatRoom "$token" "{\"short_code\":\"$code\"}" | first token)
call CreateRoomToken "$token" "{\"short_code\":\"$code\",\"ttl\":\"3600s\"}"
call SendMessage "$chat" '{"body":"hello","client_message_id":"1"}'
call ListMessages "$chat" '{"page_size":10}'
call Subscribe "$chat" '{"last":50}'
