#!/bin/sh
# Creates the server's role and its database when PostgreSQL's volume is new. The role owns its database and nothing else. It
# is not a superuser, so it can neither run programs nor read files on PostgreSQL's machine.
set -eu
psql --set=ON_ERROR_STOP=1 --username="${POSTGRES_USER:-postgres}" --dbname=postgres --no-psqlrc --quiet \
  --set=password="$(cat "${1:-/run/secret/password}")" <<'SQL'
CREATE ROLE grpcchatter LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'password';
CREATE DATABASE grpcchatter OWNER grpcchatter;
REVOKE CONNECT, TEMPORARY ON DATABASE grpcchatter FROM PUBLIC;
SQL
