#!/bin/sh
# A chat with curl alone: examples/curl.sh [HOST:PORT [USER PASSWORD]]. The account uses REST, the room gRPC-web. At
# the end the script listens until Ctrl-C.
set -eu
server=http://${1:-127.0.0.1:8080}
account="{\"user_name\":\"${2:-walker1}\",\"password\":\"${3:-Str0ng!pass}\"}"

# call METHOD TOKEN TEXT: sends a request whose first field is a text of up to 125 bytes, and prints the readable
# parts of the response.
call() {
    printf "\0\0\0\0\\$(printf %o $((${#3} + 2)))\n\\$(printf %o ${#3})%s" "$3" |
        curl -sN "$server/grpcchatter.v1.ChatService/$1" --data-binary @- \
            -H 'content-type: application/grpc-web+proto' -H "authorization: Bearer $2" |
        LC_ALL=C tr -cs '[:print:]' '\n'
}

# Fails if the account exists already, which is fine.
curl -s "$server/register" -d "$account"
echo
token=$(curl -s "$server/login" -d "$account" | sed -E 's/.*"token":"([^"]*)".*/\1/')

code=$(call CreateChatRoom "$token" tea | grep -m 1 -E '^[A-Za-z0-9]{6}$')
chat=$(call JoinChatRoom "$token" "$code" | grep -m 1 ^ey)
echo "others join by the code $code"
call SendMessage "$chat" hello
call Subscribe "$chat" ''
